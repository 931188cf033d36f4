"""Routes for a survivor's session as JSON: sign in, give the PIN, sign out. Credentials are in `account`."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from services.common.errors import Fault, invalid
from services.common.http.request_models import Body
from services.consent.api.dependencies import ContextDep, SessionDep, SurvivorAuthDep
from services.consent.api.survivors.pins import Pin
from services.consent.handlers.accounts import sessions

routes = APIRouter(prefix="/my/v1", tags=["survivors"])


class Way(Body):
    """Your passphrase; or, the first time, the claim code, with a PIN of your choice if you like."""

    passphrase: str | None = Field(None, max_length=200)
    claim_code: str | None = Field(None, max_length=64)
    pin: str | None = Field(None, max_length=6)


class SessionOpened(BaseModel):
    """Empty for a passphrase. For a claim code, the new passphrase and the PIN, shown this one time."""

    passphrase: str | None = None
    pin: str | None = None


@routes.post("/session", status_code=201, response_model_exclude_unset=True)
def come_in(auth: SurvivorAuthDep, request: Request, response: Response, way: Way) -> SessionOpened:
    """Open a session. A claim code is answered by the passphrase and the PIN, shown this one time.

    If that answer is lost, claim again within the hour: until passphrase or PIN are used, each claim makes new ones.
    """
    auth.same_site(request)
    if (way.passphrase is None) == (way.claim_code is None):
        raise invalid(Fault("", "One way in is needed.", "passphrase or claim_code"))
    if way.passphrase is not None:
        auth.let_in(response, auth.come_in(request, way.passphrase))
        return SessionOpened()
    claimed = auth.claim(request, way.claim_code or "", way.pin)
    auth.let_in(response, claimed.session)
    return SessionOpened(passphrase=claimed.passphrase, pin=claimed.pin)


@routes.post("/session/step-up", status_code=204)
def step_up(auth: SurvivorAuthDep, request: Request, session: SessionDep, body: Pin) -> None:
    """Give the PIN. For five minutes, acts that widen are possible. What cannot be undone takes the PIN in its own body."""
    auth.step_up(request, session, body.pin)


@routes.delete("/session", status_code=204)
def leave(context: ContextDep, auth: SurvivorAuthDep, session: SessionDep, response: Response) -> None:
    """End the session and clear this site's data from the browser."""
    sessions.leave(context, session)
    auth.show_out(response)
