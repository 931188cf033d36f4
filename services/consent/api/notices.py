"""Routes for notices, under `/consent`: polled as RFC 8936 says, acknowledged by the next poll, attested one by one."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.common.auth.access_tokens import Caller
from services.common.http.request_models import Body
from services.consent.api.dependencies import ContextDep
from services.consent.handlers.notices import poll as polling
from services.consent.handlers.notices import push as pushing
from services.consent.handlers.notices.poll import ERRORS, Poll

routes = APIRouter(tags=["notices"])


class SetError(Body):
    """The reason why a SET could not be read (RFC 8935, section 2.4). The description is neither read nor kept."""

    err: str = Field(max_length=32, description=f"One of: {', '.join(ERRORS)}.")
    description: str | None = Field(None, max_length=1000)


class PollBody(Body):
    """A poll as RFC 8936 defines it. The answer never waits: `returnImmediately` may say anything."""

    max_events: int | None = Field(None, ge=0, alias="maxEvents")
    return_immediately: bool = Field(False, alias="returnImmediately")
    ack: list[UUID] = Field([], max_length=1000)
    set_errors: dict[UUID, SetError] = Field({}, max_length=1000, alias="setErrs")


class PollAnswer(BaseModel):
    """Signed SETs by `jti`. Those that you do not acknowledge are returned again."""

    sets: dict[str, str]
    more: bool = Field(serialization_alias="moreAvailable")


class PushPlace(Body):
    """The URL to push your notices to as soon as they are made (RFC 8935). You need not poll then, but you may."""

    url: str = Field(max_length=512)


class Attestation(Body):
    """Your declaration about a notice: a code of `schemas/codes/attestations.json`."""

    done: Annotated[str, Field(max_length=32)]


@routes.get("/consent/jwks.json")
def public_keys(context: ContextDep) -> dict[str, Any]:
    """Return the keys that verify what this service signs."""
    return context.signer.public_keys()


@routes.post("/consent/v1/notices/poll")
def poll(context: ContextDep, agency: Caller, body: PollBody) -> PollAnswer:
    """Acknowledge the notices that you have, and get those that wait."""
    errors = {name: error.err for name, error in body.set_errors.items()}
    polled = polling.poll(context, agency, Poll(body.ack, errors, body.max_events))
    return PollAnswer(sets=dict(polled.sets), more=polled.more)


@routes.put("/consent/v1/notices/push", status_code=204)
def push(context: ContextDep, agency: Caller, body: PushPlace) -> None:
    """Have your notices pushed. Accepting one with 202 acknowledges it."""
    pushing.set_place(context, agency, body.url)


@routes.delete("/consent/v1/notices/push", status_code=204)
def push_no_more(context: ContextDep, agency: Caller) -> None:
    """Stop the pushing of notices; poll instead."""
    pushing.forget_place(context, agency)


@routes.post("/consent/v1/notices/{jti}/attestation", status_code=204)
def attest(context: ContextDep, agency: Caller, jti: UUID, body: Attestation) -> None:
    """Declare what you did. Repeating it changes nothing; another declaration replaces it."""
    polling.attest(context, agency, jti, body.done)
