"""Pages for a survivor's export: as a file, or as a page with the most important parts in sentences."""

import json
from datetime import date

from fastapi import APIRouter
from fastapi.responses import Response

from services.consent.api.survivors.export import export_of
from services.consent.handlers.accounts import preferences
from services.consent.handlers.agencies import compelled
from services.consent.handlers.grants import pending
from services.consent.handlers.notices import poll
from services.consent.handlers.rights import export
from services.consent.pages.ledger_text import SOMEBODY
from services.consent.pages.page_context import HOME, PageRoute, PinNowPage

routes = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
NAME = "my-page.json"


@routes.post("/copy")
def copy(page: PinNowPage) -> Response:
    """Send everything that is kept about her as a file."""
    document = json.dumps(export_of(page.context, page.subject).model_dump(mode="json"), ensure_ascii=False, indent=1)
    headers = {"content-disposition": f'attachment; filename="{NAME}"'}
    return Response(document, media_type="application/json", headers=headers)


@routes.post("/read")
def read(page: PinNowPage) -> Response:
    """Show everything that is kept about her on a page."""
    context, subject = page.context, page.subject
    seen, told = export.overview(context, subject), poll.told_about(context, subject)
    waits = [row for row, _why in pending.waits_of(context, subject, past=True)]
    laws = compelled.records_about(context, subject)
    named = {row.agency for row in [*seen["grants"], *told, *waits]} | {row.second_look_by for row in waits}
    names = preferences.names(context, named | {one["agency"] for one in laws if "agency" in one})
    somebody = page.say(SOMEBODY)
    return page.show(
        "copy.html",
        copy=export_of(context, subject).model_dump(mode="json"),
        seen=seen,
        waits=waits,
        notices=told,
        compelled=laws,
        name_of=lambda agency: names.get(agency, somebody),
        day_of=date.fromisoformat,
        late=poll.is_overdue,
    )
