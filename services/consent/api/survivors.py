"""Routes for survivors as JSON, under `/my/v1`; her pages do the same acts."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import Field

from services.common.encoding import timestamp
from services.common.errors import Fault, invalid
from services.common.http.request_models import Body
from services.consent.api.dependencies import ContextDep, SessionDep, SteppedUpDep, SurvivorAuthDep
from services.consent.api.export_models import papers_json
from services.consent.api.rights import told_json, wait_json
from services.consent.context import Context
from services.consent.handlers.accounts import links, sessions
from services.consent.handlers.agencies import compelled
from services.consent.handlers.grants import grants, pending
from services.consent.handlers.ledger import publish
from services.consent.handlers.ledger.receipts import receipts_of
from services.consent.handlers.notices import poll
from services.consent.handlers.rights import erasure
from services.consent.handlers.rights.export import ledger_page, overview
from services.consent.handlers.rights.statistics import set_statistics
from services.consent.ledger.commitments import shown
from services.consent.ledger.entries import RecordedEntry

routes = APIRouter(prefix="/my/v1", tags=["survivors"])


class Way(Body):
    """A way in: her words, or at first the claim code (with a PIN of her choice, if she likes)."""

    passphrase: str | None = Field(None, max_length=200)
    claim_code: str | None = Field(None, max_length=64)
    pin: str | None = Field(None, max_length=6)


class Pin(Body):
    """Her PIN."""

    pin: str = Field(max_length=6)


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


class Switch(Body):
    """On or off."""

    on: bool


@routes.post("/session", status_code=201)
def come_in(auth: SurvivorAuthDep, request: Request, response: Response, way: Way) -> dict[str, str]:
    """Open a session. A claim code answers with the words and the PIN, shown this one time.

    If that answer is lost, claim again within the hour: until words or PIN are used, each claim makes new ones.
    """
    auth.same_site(request)
    if (way.passphrase is None) == (way.claim_code is None):
        raise invalid(Fault("", "One way in is needed.", "passphrase or claim_code"))
    if way.passphrase is not None:
        auth.let_in(response, auth.come_in(request, way.passphrase))
        return {}
    claimed = auth.claim(way.claim_code or "", way.pin)
    auth.let_in(response, claimed.session)
    return {"passphrase": claimed.passphrase, "pin": claimed.pin}


@routes.post("/session/step-up", status_code=204)
def step_up(auth: SurvivorAuthDep, session: SessionDep, body: Pin) -> None:
    """Give the PIN; for five minutes acts that widen are possible."""
    auth.step_up(session, body.pin)


@routes.delete("/session", status_code=204)
def leave(context: ContextDep, auth: SurvivorAuthDep, session: SessionDep, response: Response) -> None:
    """End the session and clear this site's data from the browser."""
    sessions.leave(context, session)
    auth.show_out(response)


@routes.post("/words", status_code=201)
def make_passphrase(auth: SurvivorAuthDep, session: SteppedUpDep) -> dict[str, str]:
    """Make new words, shown this one time. The old ones stop working, and every session but this one ends.

    If this answer is lost, make them again in this session.
    """
    return {"passphrase": auth.new_passphrase(session)}


@routes.post("/pin", status_code=204)
def set_pin(auth: SurvivorAuthDep, session: SteppedUpDep, body: Pin) -> None:
    """Set a new PIN. The old one stops working, and in every other session it has to be given again.

    If this answer is lost, your ledger says whether it was set.
    """
    auth.new_pin(session, body.pin)


@routes.post("/revoke-card", status_code=204)
def revoke_card(context: ContextDep, auth: SurvivorAuthDep, request: Request, body: Card) -> None:
    """End every grant with the code on the revoke card. Shows nothing, opens nothing."""
    auth.same_site(request)
    grants.revoke_all(context, sessions.subject_of_card(context, body.revoke_code))


@routes.get("/grants")
def list_grants(context: ContextDep, session: SessionDep) -> dict[str, Any]:
    """Every grant, newest first."""
    return {"grants": [grant_json(row) for row in overview(context, session.subject)["grants"]]}


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
    return {"restrictions": [_restriction_json(row) for row in overview(context, session.subject)["restrictions"]]}


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
    return {"requests": [_request_json(row) for row in overview(context, session.subject)["requests"]]}


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


@routes.post("/link-codes", status_code=201)
def link_code(context: ContextDep, session: SteppedUpDep) -> dict[str, str]:
    """Make a code to tell one agency, so that it may refer for you. Good once, for an hour."""
    made = links.make_link_code(context, session.subject)
    return {"link_code": made.code, "expires_at": made.expires_at.isoformat()}


@routes.put("/statistics", status_code=204)
def statistics(context: ContextDep, auth: SurvivorAuthDep, request: Request, session: SessionDep, body: Switch) -> None:
    """Be counted in the reports, or not. Only a yes needs the PIN."""
    if body.on:
        session = auth.stepped_up(request)
    set_statistics(context, session.subject, on=body.on)


@routes.get("/ledger")
def read_ledger(context: ContextDep, session: SessionDep, before: int | None = None) -> dict[str, Any]:
    """What happened, newest first; `next` is the `before` of the following page."""
    rows, following = ledger_page(context, session.subject, before)
    return {"entries": [ledger_json(row) for row in rows], "next": following}


@routes.get("/receipts/{grant}")
def receipts(context: ContextDep, session: SessionDep, grant: UUID) -> dict[str, Any]:
    """Receipts of one grant: that you gave it and, if so, that it ended. Keep them; anybody can verify them offline."""
    return {"receipts": [made.as_json() for made in receipts_of(context, session.subject, grant)]}


@routes.get("/agencies")
def list_agencies(context: ContextDep, session: SessionDep) -> dict[str, Any]:
    """The agencies that you could allow something."""
    known = overview(context, session.subject)["agencies"]
    return {"agencies": [{"id": agency.id, "name": agency.name, "sector": agency.sector} for agency in known]}


@routes.get("/export")
def export(context: ContextDep, session: SteppedUpDep) -> dict[str, Any]:
    """A copy of everything the hub keeps about you."""
    return export_json(context, session.subject)


@routes.delete("", status_code=204)
def erase(context: ContextDep, auth: SurvivorAuthDep, session: SteppedUpDep, response: Response) -> None:
    """Delete everything. There is no way back."""
    erasure.erase(context, session.subject)
    auth.show_out(response)


def _given(context: Context, subject: UUID, name: UUID) -> dict[str, Any]:
    """What she gave: live, or waiting for somebody and why."""
    waits = [(row, why) for row, why in pending.waits_of(context, subject) if row.id == name]
    told = {"waits_for": waits[0][0].second_look_by, "why": waits[0][1]} if waits else {}
    return {"id": str(name), **told}


def export_json(context: Context, subject: UUID) -> dict[str, Any]:
    """Everything that is kept about a survivor, as JSON."""
    seen = overview(context, subject, past=True)
    entries: list[Any] = []
    before: int | None = None
    while True:
        rows, before = ledger_page(context, subject, before)
        entries += rows
        if before is None:
            break
    return {
        "state": seen["state"],
        "since": timestamp(seen["since"]),
        "language": seen["language"],
        "age_band": seen["age_band"],
        "statistics": seen["statistics"],
        "agencies_that_know_you": sorted(seen["links"]),
        "grants": [grant_json(row) for row in seen["grants"]],
        "restrictions": [_restriction_json(row) for row in seen["restrictions"]],
        "requests": [_request_json(row) for row in seen["requests"]],
        "waiting": [wait_json(row, why) for row, why in pending.waits_of(context, subject, past=True)],
        "notices": [told_json(one) for one in poll.told_about(context, subject)],
        "compelled": compelled.records_about(context, subject),
        **papers_json(context, subject, [row.id for row in seen["grants"]]),
        "ledger": proven(context, entries),
    }


def grant_json(row: Any) -> dict[str, Any]:
    """A grant as its giver sees it."""
    return {
        "id": str(row.id),
        "agency": row.agency,
        "purpose": row.purpose,
        "categories": row.categories,
        "valid_from": timestamp(row.valid_from),
        "valid_until": timestamp(row.valid_until),
        "ended_at": timestamp(row.ended_at),
        "end_reason": row.end_reason,
        "notice_version": row.notice_version,
        "notice_sha256": row.notice_sha256,
    }


def ledger_json(row: Any) -> dict[str, Any]:
    """A line of the ledger."""
    place = {"position": row.position, "leaf_index": row.leaf_index}
    return {**place, **shown(row.record, row.salt)}


def proven(context: Context, lines: Sequence[RecordedEntry]) -> list[dict[str, Any]]:
    """Lines of the ledger, each with the proof that it stands there; none for one that was recorded a moment ago."""
    proofs = publish.proofs(context, [line.leaf_index if line.salt else None for line in lines])
    return [{**ledger_json(line), "proof": proof} for line, proof in zip(lines, proofs, strict=True)]


def _restriction_json(row: Any) -> dict[str, Any]:
    names = ("agency", "sector", "category", "purpose", "reason")
    times = {"since": timestamp(row.created_at), "lifted_at": timestamp(row.lifted_at)}
    return {"id": str(row.id), **times, **{name: getattr(row, name) for name in names}}


def _request_json(row: Any) -> dict[str, Any]:
    names = ("asked_by", "agency", "purpose", "categories", "accepted")
    times = {name: timestamp(getattr(row, name)) for name in ("asked_at", "open_until", "answered_at")}
    return {"id": str(row.id), **times, **{name: getattr(row, name) for name in names}}
