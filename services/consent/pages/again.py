"""Pages for the same yes again: all that it allows in one look, and the new grant after the PIN."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response

from services.consent.handlers.accounts import preferences
from services.consent.handlers.grants import again
from services.consent.handlers.rights import export
from services.consent.pages.page_context import HOME, PageRoute, PinPage, SessionPage
from services.consent.pages.texts import labelled_parts

routes = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)


@routes.get("/again/{grant}")
def show(page: SessionPage, grant: UUID) -> Response:
    """Show all that the same yes would allow. Nothing is given before she confirms it."""
    seen = again.read(page.context, page.subject, grant)
    row = seen.grant
    [stopped] = export.kept_back(page.context, page.subject, [row])
    shown: dict[str, Any] = {"grant": row, "words": seen.note, "stopped": stopped}
    shown["until"] = page.context.clock.now() + timedelta(days=seen.days)
    shown["texts"] = labelled_parts(seen.texts or {}, page.language)
    return page.show("again.html", **shown, name=preferences.names(page.context, [row.agency]).get(row.agency))


@routes.post("/again/{grant}")
def give(page: PinPage, grant: UUID) -> Response:
    """Give the new grant, and show its receipt."""
    return page.go(f"/yes/{again.give(page.context, page.subject, grant)}")
