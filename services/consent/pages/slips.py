"""Pages and routes for agencies: how to hand over a slip, the slip itself, and corrections. No slip is stored."""

from typing import Annotated
from uuid import UUID

import segno
from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, Field

from services.common.auth.access_tokens import Caller
from services.common.auth.limited_acts import limited
from services.common.errors import not_found
from services.common.http.request_models import Body
from services.consent.api.dependencies import ContextDep, SurvivorAuthDep
from services.consent.handlers.accounts import preferences
from services.consent.handlers.rights import corrections
from services.consent.pages.labels import templates
from services.consent.pages.page_context import GuestPage, PageRoute

routes = APIRouter(prefix="/consent", tags=["agencies"])
pages = APIRouter(prefix="/consent", include_in_schema=False, route_class=PageRoute)
CORRECTIONS_AT_ONCE = 200
Code = Annotated[str, Field(min_length=1, max_length=64)]


class Slip(Body):
    """The two codes that `POST /consent/v1/subjects` answered, unchanged."""

    claim_code: Code
    revoke_code: Code
    language: str = Field("en", pattern="^(en|fr)$", description="The language she wants to read.")


class Correction(BaseModel):
    """She says that something you have under a grant is not right. She will tell you herself what is wrong."""

    id: UUID
    grant: UUID
    ppid: str | None
    category: str
    asked_at: str


class Corrections(BaseModel):
    """At most 200 corrections, oldest first."""

    corrections: list[Correction]


@pages.get("/workers/{agency}")
def for_workers(page: GuestPage, agency: str) -> Response:
    """Show a worker of one agency how to hand over a slip."""
    name = preferences.names(page.context, [agency]).get(agency)
    if name is None:
        raise not_found()
    return page.show("workers.html", name=name)


@routes.post("/v1/slips", response_class=HTMLResponse, dependencies=[limited("people")])
def print_slip(auth: SurvivorAuthDep, _agency: Caller, slip: Slip) -> HTMLResponse:
    """Return a slip to print and fold without reading it. Nothing of it is kept."""
    address = f"{auth.origin}/my/start"
    # Behind the `#`, the code reaches no server's log; the page removes it from the address, and so from the history.
    square = segno.make(f"{address}#{slip.claim_code}", error="m")
    template = templates(slip.language, auth.zone).get_template("slip.html")
    return HTMLResponse(template.render(slip=slip, address=address, square=square.svg_inline(scale=4, border=2)))


@routes.get("/v1/corrections", dependencies=[limited("reads")])
def list_corrections(context: ContextDep, agency: Caller) -> Corrections:
    """List the corrections that survivors asked you for and that you have not made yet."""
    rows = corrections.waiting_for(context, agency, CORRECTIONS_AT_ONCE)
    told = [
        Correction(
            id=row.id, grant=row.grant_id, ppid=row.ppid, category=row.category, asked_at=row.asked_at.isoformat()
        )
        for row in rows
    ]
    return Corrections(corrections=told)


@routes.post("/v1/corrections/{correction}", status_code=204, dependencies=[limited("answers")])
def corrected(context: ContextDep, agency: Caller, correction: UUID) -> None:
    """Say that a correction is made. She can read that you did."""
    corrections.corrected(context, agency, correction)
