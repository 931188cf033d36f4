"""Pages for a survivor's export: as a file, or as a page with the most important parts in sentences."""

from datetime import date

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from services.consent.api.survivors.export import export_of, proven_pages, written
from services.consent.handlers.accounts import preferences
from services.consent.handlers.agencies import compelled
from services.consent.handlers.grants import pending
from services.consent.handlers.notices import poll
from services.consent.handlers.rights import export
from services.consent.pages.labels import templates
from services.consent.pages.ledger_text import SOMEBODY
from services.consent.pages.page_context import HOME, PageContext, PageRoute, PinNowPage, policy

routes = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
NAME = "my-page.json"
PARTS_AT_ONCE = 200
"""Pieces of the page that are sent together."""


@routes.post("/copy")
def copy(page: PinNowPage) -> Response:
    """Send everything that is kept about her as a file."""
    headers = {"content-disposition": f'attachment; filename="{NAME}"'}
    return StreamingResponse(written(page.context, page.subject), media_type="application/json", headers=headers)


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
    return _streamed(
        page,
        copy=export_of(context, subject),
        ledger=(entry for entries in proven_pages(context, subject) for entry in entries),
        seen=seen,
        waits=waits,
        notices=told,
        compelled=laws,
        name_of=lambda agency: names.get(agency, somebody),
        day_of=date.fromisoformat,
        late=poll.is_overdue,
    )


def _streamed(page: PageContext, **values: object) -> Response:
    """Return the page with the copy, sent while her ledger is read: it can be too long to be held in memory."""
    template = templates(page.language, page.auth.zone).get_template("copy.html")
    parts = template.stream(page=page, home=HOME, **values)
    parts.enable_buffering(PARTS_AT_ONCE)
    headers = {"content-security-policy": policy(page.auth.leave_to)}
    return StreamingResponse(parts, media_type="text/html", headers=headers)
