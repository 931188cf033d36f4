"""Routes for a survivor's permissions as JSON: grants, restrictions, requests, pause, and the revoke card."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from services.common.http.request_models import Body
from services.consent.api.dependencies import ContextDep, SessionDep, SteppedUpDep, SurvivorAuthDep
from services.consent.api.survivors.row_models import IsoTime, RowModel
from services.consent.context import Context
from services.consent.handlers.accounts import sessions
from services.consent.handlers.disclosures import sent
from services.consent.handlers.grants import again, drafts, grants, pending
from services.consent.handlers.rights import export

routes = APIRouter(prefix="/my/v1", tags=["survivors"])


class Card(Body):
    """The code on your revoke card."""

    revoke_code: str = Field(max_length=64)


class NewGrant(Body):
    """A new grant: what you allow one agency."""

    agency: str = Field(max_length=64)
    purpose: str = Field(max_length=32)
    categories: list[str] = Field(max_length=16)
    days: int | None = None
    second_look_by: str | None = Field(
        None, max_length=64, description="Where somebody must look at it with you first: the agency that does."
    )


class NewRestriction(Body):
    """A new restriction; a member that is left out matches everything."""

    agency: str | None = Field(None, max_length=64)
    sector: str | None = Field(None, max_length=32)
    category: str | None = Field(None, max_length=32)
    purpose: str | None = Field(None, max_length=32)
    reason: str | None = Field(
        None, max_length=32, description="Why, for you alone. `someone_works_there` closes one agency altogether."
    )


class RequestAnswer(Body):
    """Your answer to a consent request: yes, or "not now"."""

    accept: bool
    days: int | None = None
    agency: str | None = Field(
        None, max_length=64, description="With a yes: which agency, if the request names several."
    )
    second_look_by: str | None = Field(None, max_length=64)
    only_this: bool | None = Field(
        None,
        description="Whether just the texts that came with the request may be sent, word for word, or this kind of thing "
        "until the end. Left out: just these texts, if some came.",
    )


class Grant(RowModel):
    """A grant."""

    id: UUID
    agency: str
    purpose: str
    categories: list[str]
    valid_from: IsoTime
    valid_until: IsoTime
    ended_at: IsoTime | None
    end_reason: str | None
    notice_version: str
    notice_sha256: str
    only_this: bool = Field(description="Whether only the texts that you read may be sent, word for word.")


class GrantList(BaseModel):
    """Your grants, newest first."""

    grants: list[Grant]


class GrantGiven(BaseModel):
    """The grant's id. Where it waits for a second look: the agency it waits for, and why; absent for a live grant."""

    id: UUID
    waits_for: str | None = None
    why: str | None = None


class SameGrant(RowModel):
    """All that the same yes would allow again, from now until `valid_until`."""

    agency: str
    purpose: str
    categories: list[str]
    only_this: bool
    days: int
    valid_until: IsoTime
    note: str | None = Field(description="Your own words, which this agency reads.")
    texts: dict[str, dict[str, Any]] | None = Field(
        description="The texts that it allows, word for word; null if it allows any text of its categories."
    )


class SecondLook(Body):
    """Where somebody must look at it with you first."""

    second_look_by: str | None = Field(None, max_length=64)


class Restriction(RowModel):
    """A restriction; a member that is null matches everything."""

    id: UUID
    since: IsoTime = Field(validation_alias="created_at")
    lifted_at: IsoTime | None
    agency: str | None
    sector: str | None
    category: str | None
    purpose: str | None
    reason: str | None


class RestrictionList(BaseModel):
    """Your restrictions, newest first."""

    restrictions: list[Restriction]


class RestrictionAdded(BaseModel):
    """The restriction's id."""

    id: UUID


class ConsentRequest(RowModel):
    """A consent request: `asked_by` asked that `agency`, or one of `choices` if that is null, may see the categories."""

    id: UUID
    asked_at: IsoTime
    open_until: IsoTime
    answered_at: IsoTime | None
    asked_by: str
    agency: str | None
    choices: list[str]
    purpose: str
    categories: list[str]
    accepted: bool | None
    parts: dict[str, dict[str, Any]] = Field(
        {}, description="The texts that came with it, by category, as they would be sent; while you can answer."
    )


class ConsentRequestList(BaseModel):
    """The consent requests that are open, oldest first."""

    requests: list[ConsentRequest]


class RequestAnswered(BaseModel):
    """The id of the grant that a yes made, null for "not now". `waits_for` and `why` as with a new grant."""

    grant: UUID | None
    waits_for: str | None = None
    why: str | None = None


class WaitingGrant(RowModel):
    """A grant that waits, or waited, for a second look, and why."""

    id: UUID
    agency: str
    purpose: str
    categories: list[str]
    days: int
    second_look_by: str
    outcome: str | None
    asked_at: IsoTime
    open_until: IsoTime
    ended_at: IsoTime | None
    why: str


class WaitingGrantList(BaseModel):
    """The grants that wait for a second look."""

    waiting: list[WaitingGrant]


class SentReferral(RowModel):
    """A referral about you as it was sent, word for word; `parts` is null if it can no longer be opened."""

    referral: str | None
    sender: str
    sent_at: IsoTime
    parts: dict[str, dict[str, Any]] | None


class SentList(BaseModel):
    """What was sent about you under a grant, newest first; `next` is the `before` of the following page."""

    sent: list[SentReferral]
    next: UUID | None


class KnownAgency(RowModel):
    """An agency that you could give a grant to."""

    id: str
    name: str
    sector: str


class AgencyList(BaseModel):
    """The agencies that you could give a grant to."""

    agencies: list[KnownAgency]


@routes.post("/revoke-card", status_code=204)
def revoke_card(context: ContextDep, auth: SurvivorAuthDep, request: Request, body: Card) -> None:
    """End every grant with the code on the revoke card. The answer shows nothing and opens no session."""
    auth.same_site(request)
    grants.revoke_all(context, sessions.subject_of_card(context, body.revoke_code))


@routes.get("/grants")
def list_grants(context: ContextDep, session: SessionDep) -> GrantList:
    """List every grant, newest first."""
    return GrantList(grants=[Grant.of(row) for row in export.overview(context, session.subject)["grants"]])


@routes.post("/grants", status_code=201, response_model_exclude_unset=True)
def give(context: ContextDep, session: SteppedUpDep, body: NewGrant) -> GrantGiven:
    """Allow one agency, for one purpose, some categories, for some days. With `waits_for`, it is not live until then."""
    wish = grants.Wish(body.agency, body.purpose, body.categories, body.days, body.second_look_by)
    grant = grants.give_grant(context, session.subject, wish)
    return GrantGiven(id=grant, **_second_look(context, session.subject, grant))


@routes.delete("/grants/{grant}", status_code=204)
def revoke(context: ContextDep, session: SessionDep, grant: UUID) -> None:
    """Take a grant back. When this returns, nothing more leaves under it."""
    grants.revoke_grant(context, session.subject, grant)


@routes.get("/grants/{grant}/sent")
def list_sent(context: ContextDep, session: SessionDep, grant: UUID, before: UUID | None = None) -> SentList:
    """Read what was sent about you under a grant, word for word, while it lives. Your ledger says that it was read here."""
    page = sent.read(context, session.subject, grant, before)
    return SentList(sent=[SentReferral.of(one) for one in page.sent], next=page.following)


@routes.get("/grants/{grant}/again")
def read_same_grant(context: ContextDep, session: SessionDep, grant: UUID) -> SameGrant:
    """Read all that the same yes would allow again. Nothing is given; a yes that cannot be shown whole gets 409."""
    seen, now = again.read(context, session.subject, grant), context.clock.now()
    told = {name: getattr(seen, name) for name in ("days", "note", "texts")}
    return SameGrant.of(seen.grant, **told, valid_until=now + timedelta(days=seen.days))


@routes.post("/grants/{grant}/again", status_code=201, response_model_exclude_unset=True)
def give_again(context: ContextDep, session: SteppedUpDep, grant: UUID, body: SecondLook | None = None) -> GrantGiven:
    """Say the same yes again: a new grant, for as many days from now. The earlier one ends on its day, or when you end it."""
    made = again.give(context, session.subject, grant, body.second_look_by if body else None)
    return GrantGiven(id=made, **_second_look(context, session.subject, made))


@routes.post("/pause", status_code=204)
def pause(context: ContextDep, session: SessionDep) -> None:
    """Stop everything until you resume."""
    grants.pause(context, session.subject)


@routes.post("/resume", status_code=204)
def resume(context: ContextDep, session: SteppedUpDep) -> None:
    """Let your grants work again."""
    grants.resume(context, session.subject)


@routes.get("/restrictions")
def list_restrictions(context: ContextDep, session: SessionDep) -> RestrictionList:
    """List every restriction, newest first."""
    rows = export.overview(context, session.subject)["restrictions"]
    return RestrictionList(restrictions=[Restriction.of(row) for row in rows])


@routes.post("/restrictions", status_code=201)
def restrict(context: ContextDep, session: SessionDep, body: NewRestriction) -> RestrictionAdded:
    """Forbid an agency, a kind of agency, a category or a purpose; it wins over every grant."""
    rule = grants.Rule(body.agency, body.sector, body.category, body.purpose, body.reason)
    return RestrictionAdded(id=grants.restrict(context, session.subject, rule))


@routes.delete("/restrictions/{restriction}", status_code=204)
def lift(context: ContextDep, session: SteppedUpDep, restriction: UUID) -> None:
    """Lift a restriction."""
    grants.lift_restriction(context, session.subject, restriction)


@routes.get("/requests")
def list_requests(context: ContextDep, session: SessionDep) -> ConsentRequestList:
    """List the consent requests that you have not answered, oldest first."""
    rows = export.overview(context, session.subject)["requests"]
    texts = drafts.show(context, [row.id for row in rows])
    return ConsentRequestList(requests=[ConsentRequest.of(row, parts=texts.get(row.id, {})) for row in rows])


@routes.post("/requests/{request_id}", response_model_exclude_unset=True)
def answer(
    context: ContextDep,
    auth: SurvivorAuthDep,
    request: Request,
    session: SessionDep,
    request_id: UUID,
    body: RequestAnswer,
) -> RequestAnswered:
    """Say yes, or "not now". Only a yes needs the PIN."""
    if body.accept:
        session = auth.stepped_up(request)
    said = grants.Answer(body.accept, body.days, body.second_look_by, only_this=body.only_this, agency=body.agency)
    made = grants.answer_request(context, session.subject, request_id, said)
    if made is None:
        return RequestAnswered(grant=None)
    return RequestAnswered(grant=made, **_second_look(context, session.subject, made))


@routes.get("/waiting")
def waits(context: ContextDep, session: SessionDep) -> WaitingGrantList:
    """List the grants that wait for a second look, and why. Nothing is shared before that."""
    found = pending.waits_of(context, session.subject)
    return WaitingGrantList(waiting=[WaitingGrant.of(row, why=why) for row, why in found])


@routes.get("/agencies")
def list_agencies(context: ContextDep, session: SessionDep) -> AgencyList:
    """List the agencies that you could give a grant to."""
    known = export.overview(context, session.subject)["agencies"]
    return AgencyList(agencies=[KnownAgency.of(agency) for agency in known])


def _second_look(context: Context, subject: UUID, grant: UUID) -> dict[str, str]:
    """Return the agency that a new grant waits for and why; empty if the grant is live."""
    waits = [(row, why) for row, why in pending.waits_of(context, subject) if row.id == grant]
    return {"waits_for": waits[0][0].second_look_by, "why": waits[0][1]} if waits else {}
