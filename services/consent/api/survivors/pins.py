"""Dependencies and bodies of acts that cannot be undone: each asks for the PIN in that very request."""

from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import Field

from services.common.http.request_models import Body
from services.consent.api.dependencies import SessionDep, SurvivorAuthDep
from services.consent.handlers.accounts.sessions import Session


class Pin(Body):
    """Your PIN."""

    pin: str = Field(max_length=6)


class NewPin(Pin):
    """The PIN you have, and the one you want: six digits."""

    new_pin: str = Field(max_length=6)


def pin_in_request(request: Request, auth: SurvivorAuthDep, session: SessionDep, body: Pin) -> Session:
    """Return the session; raise 403 unless this very request holds her PIN."""
    return auth.confirm(request, session, body.pin)


def pin_with_new_pin(request: Request, auth: SurvivorAuthDep, session: SessionDep, body: NewPin) -> Session:
    """Return the session; raise 403 unless this very request holds the PIN that a new one replaces."""
    return auth.confirm(request, session, body.pin)


def pin_in_header(
    request: Request,
    auth: SurvivorAuthDep,
    session: SessionDep,
    fireweed_pin: Annotated[str, Header(max_length=6)] = "",
) -> Session:
    """Return the session; raise 403 unless the header `Fireweed-Pin` of this very request holds her PIN.

    A GET has no body, and a URL must hold nothing personal.
    """
    return auth.confirm(request, session, fireweed_pin)


PinNowDep = Annotated[Session, Depends(pin_in_request)]
"""A session with the PIN in this request, for what cannot be undone; somebody who finds her phone open has no PIN."""
PinHeaderDep = Annotated[Session, Depends(pin_in_header)]
"""The same for a GET, with the PIN in a header."""
NewPinDep = Annotated[Session, Depends(pin_with_new_pin)]
"""The same for a new PIN, whose body is `NewPin`."""
