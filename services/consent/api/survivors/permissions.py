"""Routes for a survivor's permissions as JSON: grants, restrictions, requests, pause, and the revoke card."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import Field

from services.common.http.request_models import Body
from services.consent.api.dependencies import ContextDep, SessionDep, SteppedUpDep, SurvivorAuthDep
from services.consent.api.survivors.views import grant_json, request_json, restriction_json, wait_json
from services.consent.context import Context
from services.consent.handlers.accounts import sessions
from services.consent.handlers.grants import grants, pending
from services.consent.handlers.rights import rights

routes = APIRouter(prefix="/my/v1", tags=["survivors"])


class Card(Body):
    """The code on her revoke card."""

    revoke_code: str = Field(max_length=64)


class NewGrant(Body):
    """What she allows."""

    agency: str = Field(max_length=64)
    purpose: str = Field(max_length=32)
    categories: list[str] = Field(max_length=16)
    days: int | None = None
    second_look_by: str | None = Field(
        None, max_length=64, description="Where somebody must look at it with you first: the agency that does."
    )


class NewRestriction(Body):
    """What she forbids; what is left out matches everything."""

    agency: str | None = Field(None, max_length=64)
    sector: str | None = Field(None, max_length=32)
    category: str | None = Field(None, max_length=32)
    purpose: str | None = Field(None, max_length=32)
    reason: str | None = Field(
        None, max_length=32, description="Why, for you alone. `someone_works_there` closes one agency altogether."
    )


class RequestAnswer(Body):
    """Her answer to what an agency asked for: yes, or "not now"."""

    accept: bool
    days: int | None = None
    second_look_by: str | None = Field(None, max_length=64)


@routes.post("/revoke-card", status_code=204)
def revoke_card(context: ContextDep, auth: SurvivorAuthDep, request: Request, body: Card) -> None:
    """End every grant with the code on the revoke card. Shows nothing, opens nothing."""
    auth.same_site(request)
    grants.revoke_all(context, sessions.subject_of_card(context, body.revoke_code))


@routes.get("/grants")
def list_grants(context: ContextDep, session: SessionDep) -> dict[str, Any]:
    """Every grant, newest first."""
    return {"grants": [grant_json(row) for row in rights.overview(context, session.subject)["grants"]]}


@routes.post("/grants", status_code=201)
def give(context: ContextDep, session: SteppedUpDep, body: NewGrant) -> dict[str, Any]:
    """Allow one agency, for one purpose, some categories, for some days. With `waits_for`, it is not live until then."""
    wish = grants.Wish(body.agency, body.purpose, body.categories, body.days, body.second_look_by)
    return _given(context, session.subject, grants.give_grant(context, session.subject, wish))


@routes.delete("/grants/{grant}", status_code=204)
def revoke(context: ContextDep, session: SessionDep, grant: UUID) -> None:
    """Take a grant back. When this returns, nothing more leaves under it."""
    grants.revoke_grant(context, session.subject, grant)


@routes.post("/pause", status_code=204)
def pause(context: ContextDep, session: SessionDep) -> None:
    """Stop everything until you resume."""
    grants.pause(context, session.subject)


@routes.post("/resume", status_code=204)
def resume(context: ContextDep, session: SteppedUpDep) -> None:
    """Let your grants work again."""
    grants.resume(context, session.subject)


@routes.get("/restrictions")
def list_restrictions(context: ContextDep, session: SessionDep) -> dict[str, Any]:
    """Everything you forbid, newest first."""
    return {
        "restrictions": [restriction_json(row) for row in rights.overview(context, session.subject)["restrictions"]]
    }


@routes.post("/restrictions", status_code=201)
def restrict(context: ContextDep, session: SessionDep, body: NewRestriction) -> dict[str, str]:
    """Forbid an agency, a kind of agency, a category or a purpose; it wins over every grant."""
    rule = grants.Rule(body.agency, body.sector, body.category, body.purpose, body.reason)
    return {"id": str(grants.restrict(context, session.subject, rule))}


@routes.delete("/restrictions/{restriction}", status_code=204)
def lift(context: ContextDep, session: SteppedUpDep, restriction: UUID) -> None:
    """Lift a restriction."""
    grants.lift_restriction(context, session.subject, restriction)


@routes.get("/requests")
def list_requests(context: ContextDep, session: SessionDep) -> dict[str, Any]:
    """What agencies asked for and you have not answered, oldest first."""
    return {"requests": [request_json(row) for row in rights.overview(context, session.subject)["requests"]]}


@routes.post("/requests/{request_id}")
def answer(
    context: ContextDep,
    auth: SurvivorAuthDep,
    request: Request,
    session: SessionDep,
    request_id: UUID,
    body: RequestAnswer,
) -> dict[str, Any]:
    """Say yes, or "not now". Only a yes needs the PIN."""
    if body.accept:
        session = auth.stepped_up(request)
    said = grants.Answer(body.accept, body.days, body.second_look_by)
    made = grants.answer_request(context, session.subject, request_id, said)
    if made is None:
        return {"grant": None}
    given = _given(context, session.subject, made)
    return {"grant": given.pop("id"), **given}


@routes.get("/waiting")
def waits(context: ContextDep, session: SessionDep) -> dict[str, Any]:
    """What waits until somebody has looked at it with you, and why. Nothing is shared before that."""
    return {"waiting": [wait_json(row, why) for row, why in pending.waits_of(context, session.subject)]}


@routes.get("/agencies")
def list_agencies(context: ContextDep, session: SessionDep) -> dict[str, Any]:
    """The agencies that you could allow something."""
    known = rights.overview(context, session.subject)["agencies"]
    return {"agencies": [{"id": agency.id, "name": agency.name, "sector": agency.sector} for agency in known]}


def _given(context: Context, subject: UUID, name: UUID) -> dict[str, Any]:
    """What she gave: live, or waiting for somebody and why."""
    waits = [(row, why) for row, why in pending.waits_of(context, subject) if row.id == name]
    told = {"waits_for": waits[0][0].second_look_by, "why": waits[0][1]} if waits else {}
    return {"id": str(name), **told}
