"""Routes for intake only: `/internal/consent`. No proxy leads here, and each call carries a signed token."""

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from services.common.auth.access_tokens import TokenKeys
from services.common.auth.jose import Untrusted, check_claims, check_window, verify
from services.common.clock import Clock
from services.common.errors import Problem
from services.common.http.gates import before_body, checked_in_thread
from services.consent.api.dependencies import ContextDep
from services.consent.handlers.disclosures.decisions import Sending, decide_sendings

routes = APIRouter(prefix="/internal/consent/v1", include_in_schema=False)
TOKEN_TYPE = "service+jwt"
AUDIENCE = "urn:fireweed:consent"


class SendingsBody(BaseModel):
    """Events of one request."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    sendings: list[Sending] = Field(max_length=500)


class ServiceGate:
    """Accepts callers with a fresh token that intake has signed for this service."""

    def __init__(self, keys: TokenKeys, clock: Clock) -> None:
        self._keys, self._clock = keys, clock

    def __call__(self, request: Request) -> None:
        """Raise a 401 problem unless the call is intake's."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        try:
            signed = verify(token, self._keys.current(), "service token")
            check_claims(signed.header, {"typ": TOKEN_TYPE}, "service token")
            check_claims(signed.claims, {"sub": "intake", "aud": AUDIENCE}, "service token")
            check_window(signed.claims, self._clock.now(), "service token", max_age=120)
        except Untrusted as reason:
            raise Problem(
                401, "not-authorized", "Only the hub's own services may ask this.", [reason.fault]
            ) from reason


def _gate(request: Request) -> None:
    request.app.state.service_gate(request)


@before_body(_gate)
async def intake_only(request: Request) -> None:
    """Raise a 401 problem unless the call is intake's."""
    await checked_in_thread(request, _gate)


@routes.post("/decisions", dependencies=[Depends(intake_only)])
def decide(context: ContextDep, body: SendingsBody) -> Response:
    """Decide for events about to be sent."""
    # Returned as a `Response`: FastAPI would otherwise convert hundreds of answers value by value.
    told = to_json(decide_sendings(context, body.sendings), bytes_mode="base64")
    return Response(told, media_type="application/json")
