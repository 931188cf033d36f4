"""Her copy: everything that is kept about her, as a file, or to read here with what matters most in sentences."""

import json
from datetime import date

from fastapi import APIRouter
from fastapi.responses import Response

from services.consent.api.survivors import export_json
from services.consent.handlers import compelled, notices, rights, visits, waiting
from services.consent.pages.sentences import SOMEBODY
from services.consent.pages.visits import HOME, HerPin, PageRoute

routes = APIRouter(prefix=HOME, include_in_schema=False, route_class=PageRoute)
NAME = "my-page.json"


@routes.post("/copy")
def copy(visit: HerPin) -> Response:
    """Everything that is kept about her, as a file."""
    document = json.dumps(export_json(visit.room, visit.subject), ensure_ascii=False, indent=1)
    headers = {"content-disposition": f'attachment; filename="{NAME}"'}
    return Response(document, media_type="application/json", headers=headers)


@routes.post("/read")
def read(visit: HerPin) -> Response:
    """The same, to read here."""
    room, subject = visit.room, visit.subject
    seen, told = rights.overview(room, subject), notices.told_about(room, subject)
    waits = [row for row, _why in waiting.waits_of(room, subject, past=True)]
    laws = compelled.records_about(room, subject)
    named = {row.agency for row in [*seen["grants"], *told, *waits]} | {row.second_look_by for row in waits}
    names = visits.names(room, named | {one["agency"] for one in laws if "agency" in one})
    somebody = visit.say(SOMEBODY)
    return visit.show(
        "copy.html",
        copy=export_json(room, subject),
        seen=seen,
        waits=waits,
        notices=told,
        compelled=laws,
        name_of=lambda agency: names.get(agency, somebody),
        day_of=date.fromisoformat,
        late=notices.is_overdue,
    )
