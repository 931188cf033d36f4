"""Routes for agencies, under `/consent`."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from services.common.access import Caller
from services.consent.api.doors import TheRoom
from services.consent.handlers import accounts, agencies, openings
from services.consent.handlers.grants import Wish
from services.consent.sending import OpeningResponse

routes = APIRouter(prefix="/consent/v1", tags=["agencies"])


class Body(BaseModel):
    """A request body: closed, and never echoed in errors."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class NewSubject(Body):
    """A survivor who is here and has no account."""

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


class LinkCode(Body):
    """A code that she told you."""

    link_code: str = Field(max_length=64)


class Linked(BaseModel):
    """Your name for her; no other agency has the same."""

    ppid: str


class Ask(Body):
    """What you would like her to allow; `agency` is the one that would see it, you or another."""

    ppid: str = Field(max_length=64)
    agency: str = Field(max_length=64)
    purpose: str = Field(max_length=32)
    categories: list[str] = Field(min_length=1, max_length=16)


class Asked(BaseModel):
    """The request's id. She answers when it is safe, or not at all."""

    request: str


class OralRevocation(Body):
    """She told you to stop: everything, or what one agency may see."""

    ppid: str = Field(max_length=64)
    agency: str | None = Field(None, max_length=64)


class SealedEnvelope(Body):
    """An envelope from your inbox, as it came."""

    envelope: str = Field(max_length=400_000)


class Told(BaseModel):
    """What you may have and until when."""

    permitted: list[str]
    policy: str
    valid_until: str | None


class Opened(BaseModel):
    """The parts you may see, your name for her if you have one, and the line this made in her ledger.

    Keep the grant's name beside what you keep of the parts: notices say by it what to stop using.
    """

    parts: dict[str, dict[str, object]]
    ppid: str | None
    grant: str
    decision: Told
    epoch: int
    ledger: int


@routes.post("/subjects", status_code=201)
def register(room: TheRoom, agency: Caller, body: NewSubject | None = None) -> Registered:
    """A survivor is here and has no account: get two codes for her and your ppid."""
    asked = body or NewSubject()  # type: ignore[call-arg]
    made = accounts.register(room, agency, asked.language, asked.age_band)
    return Registered(ppid=made.ppid, claim_code=made.claim_code, revoke_code=made.revoke_code)


@routes.post("/links")
def link(room: TheRoom, agency: Caller, body: LinkCode) -> Linked:
    """Link your agency to a survivor by a code that she told you."""
    return Linked(ppid=agencies.link(room, agency, body.link_code))


@routes.post("/consent-requests", status_code=201)
def ask(room: TheRoom, agency: Caller, body: Ask) -> Asked:
    """Ask her; nothing is allowed by asking."""
    wish = Wish(body.agency, body.purpose, body.categories)
    return Asked(request=str(agencies.ask(room, agency, body.ppid, wish)))


@routes.post("/revocations", status_code=204)
def revoke(room: TheRoom, agency: Caller, body: OralRevocation) -> None:
    """Pass on her spoken no. It holds when this returns, and tells nothing of what there was."""
    agencies.revoke_on_her_word(room, agency, body.ppid, body.agency)


@routes.post("/openings", response_model=Opened)
def open_envelope(room: TheRoom, agency: Caller, body: SealedEnvelope) -> OpeningResponse:
    """Open an envelope. Whatever may not be opened, for whichever reason, is the same 404."""
    return OpeningResponse(openings.begin_opening(room, agency, body.envelope))
