"""The survivor's pages at `/my`. Each page calls the handlers that the JSON routes call."""

from services.consent.pages import (
    again,
    credentials,
    export,
    my_data,
    printouts,
    restrictions,
    sharing,
    sign_in,
    slips,
    static_files,
)
from services.consent.pages.page_context import show_trouble

__all__ = ["ROUTERS", "show_trouble"]

ROUTERS = (
    sign_in.routes,
    sharing.routes,
    again.routes,
    restrictions.routes,
    my_data.routes,
    export.routes,
    printouts.routes,
    credentials.routes,
    static_files.routes,
    slips.routes,
    slips.pages,
)
