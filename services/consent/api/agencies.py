"""Routes for agencies, under `/consent`."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from services.common.auth.access_tokens import Caller
from services.common.auth.limited_acts import limited
from services.common.envelope import MAX_LENGTH
from services.common.errors import Fault, invalid
from services.common.http.request_models import Body
from services.consent.api.dependencies import ContextDep, Presented
from services.consent.api.opening_response import OpeningResponse
from services.consent.handlers.accounts import sessions
from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.disclosures import openings
from services.consent.handlers.grants import age_bands
from services.consent.handlers.grants.grants import Wish

routes = APIRouter(prefix="/consent/v1", tags=["agencies"])
BATCH = 200
CHOICES = 10
LARGER = {"/consent/v1/openings": 4 * 1024 * 1024}
"""Limits of body size, in bytes, for paths that need more than the default."""


class NewSubject(Body):
    """A survivor who is with you and has no account."""

    language: str = Field("en", pattern="^(en|fr)$", description="The language she wants to read.")
    age_band: str | None = Field(
        None,
        max_length=32,
        description="Her age as a group, if she is young: some of what she allows then waits for a second look.",
    )


class Registered(BaseModel):
    """Shown once: hand both codes to her and keep neither."""

    ppid: str
    claim_code: str
    revoke_code: str


class AgeStated(Body):
    """Her age as a group, as she told you."""

    ppid: str = Field(max_length=64)
    age_band: str = Field(max_length=32)


class LinkCode(Body):
    """A code that she told you."""

    link_code: str = Field(max_length=64)


class Linked(BaseModel):
    """Your ppid for her, which no other agency has, and a consistency token to present with later requests."""

    ppid: str
    consent_epoch: str


class Ask(Body):
    """A request for her consent; `agency` is the one that would see the data, you or another; or one of `agencies`."""

    ppid: str = Field(max_length=64)
    agency: str | None = Field(None, max_length=64)
    agencies: list[Annotated[str, Field(max_length=64)]] | None = Field(
        None,
        min_length=2,
        max_length=CHOICES,
        description="In the place of `agency`: those that could take it, such as the claimers of your offer. She chooses one "
        "of them, or none. It counts as one request.",
    )
    purpose: str = Field(max_length=32)
    categories: list[str] = Field(min_length=1, max_length=16)
    drafts: dict[str, str | dict[str, Any]] = Field(
        {},
        max_length=16,
        description="The parts as you would post them, by category; a plain text is accepted for `summary`. She reads each "
        "in full, and unless she chooses otherwise her yes allows these texts only, word for word.",
    )


class Asked(BaseModel):
    """The request's id. She answers when it is safe, or not at all."""

    request: str


class OralRevocation(Body):
    """Her spoken no: to everything, or to what one agency may see."""

    ppid: str = Field(max_length=64)
    agency: str | None = Field(None, max_length=64)


class Envelopes(Body):
    """One envelope from your inbox, unchanged, or several: exactly one of the two members."""

    envelope: str | None = Field(None, max_length=MAX_LENGTH)
    envelopes: list[Annotated[str, Field(max_length=MAX_LENGTH)]] | None = Field(None, min_length=1, max_length=BATCH)


class Told(BaseModel):
    """The permitted categories, and until when."""

    permitted: list[str]
    policy: str
    valid_until: str | None


class Opened(BaseModel):
    """The parts you may see, your ppid for her if you have one, and as `ledger` the opening's id in her ledger.

    Keep the grant's id beside the parts that you keep: a notice names by it what to stop using. `epoch` is a number of this
    grant for you alone: it goes up when something that concerns the grant changes, and notices carry it too.
    """

    parts: dict[str, dict[str, object]]
    ppid: str | None
    grant: str
    decision: Told
    epoch: int
    consent_epoch: str
    ledger: str


class OneOpened(Opened):
    """An envelope that was opened."""

    status: int


class NotOpened(BaseModel):
    """An envelope that was not opened: 404 if it may not be opened, 503 if you may try again in a moment."""

    type: str
    title: str
    status: int


class AllOpened(BaseModel):
    """One result for each envelope, in order."""

    openings: list[OneOpened | NotOpened]


@routes.post("/subjects", status_code=201, dependencies=[limited("people")])
def register(context: ContextDep, agency: Caller, body: NewSubject | None = None) -> Registered:
    """Register a survivor who is with you and has no account: get two codes for her and your ppid."""
    asked = body or NewSubject()  # type: ignore[call-arg]
    made = sessions.register(context, agency, asked.language, asked.age_band)
    return Registered(ppid=made.ppid, claim_code=made.claim_code, revoke_code=made.revoke_code)


@routes.post("/age-bands", status_code=204, dependencies=[limited("people")])
def restate_age(context: ContextDep, agency: Caller, body: AgeStated) -> None:
    """State which age group she is in now, if you may give her second looks. She can read that you did."""
    age_bands.restate(context, agency, body.ppid, body.age_band)


@routes.post("/links", dependencies=[limited("links")])
def link(context: ContextDep, agency: Caller, body: LinkCode) -> Linked:
    """Link your agency to a survivor by a code that she told you."""
    ppid = linked_acts.link(context, agency, body.link_code)
    return Linked(ppid=ppid, consent_epoch=linked_acts.epoch_token(context, agency, ppid))


@routes.post("/consent-requests", status_code=201, dependencies=[limited("requests")])
def ask(context: ContextDep, agency: Caller, body: Ask) -> Asked:
    """Ask for her consent; asking permits nothing."""
    if (body.agency is None) == (body.agencies is None):
        raise invalid(Fault("", "Either one agency or several.", "`agency` or `agencies`"), status=422)
    wish = Wish(body.agency or "", body.purpose, body.categories, texts=body.drafts)
    return Asked(request=str(linked_acts.ask(context, agency, body.ppid, wish, body.agencies or ())))


@routes.post("/revocations", status_code=204, dependencies=[limited("her-word")])
def revoke(context: ContextDep, agency: Caller, body: OralRevocation) -> None:
    """Pass on her spoken no. It is in force when this returns; the answer does not tell what there was to end."""
    linked_acts.revoke_on_her_word(context, agency, body.ppid, body.agency)


@routes.post("/openings", response_model=Opened | AllOpened, dependencies=[limited("openings")])
def open_envelopes(context: ContextDep, agency: Caller, seen: Presented, body: Envelopes) -> Response:
    """Open one envelope, or up to 200 at once. An envelope that may not be opened gets one uniform 404, for any reason."""
    if (body.envelope is None) == (body.envelopes is None):
        raise invalid(Fault("", "Either one envelope or several.", "`envelope` or `envelopes`"), status=422)
    if body.envelope is not None:
        return OpeningResponse(openings.begin_opening(context, agency, body.envelope, seen))
    opening = openings.begin_openings(context, agency, body.envelopes or [], seen)
    return OpeningResponse(opening) if opening.opened else Response(opening.content, media_type="application/json")
