"""Dependencies of the routes: the survivor's session, her PIN where it is needed, and the tokens that agencies present."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Depends, Request, Response

from services.common.auth.access_tokens import Caller
from services.common.errors import Problem
from services.common.http.dependencies import from_state
from services.common.http.gates import before_body, checked_in_thread
from services.common.settings import Settings
from services.consent import consistency_tokens
from services.consent.context import Context
from services.consent.handlers.accounts import credentials, pin_attempts, sessions
from services.consent.handlers.accounts.sessions import Claimed, Session
from services.consent.rate_limit import ConcurrencyLimit, RateLimiter

COOKIE, SECURE_COOKIE = "s", "__Host-s"
_OWN_PAGES = {None, "same-origin", "none"}


class SurvivorAuth:
    """Authenticates survivors at `/my`: finds the session, and requires the PIN where an act widens what others may see."""

    def __init__(self, context: Context, settings: Settings) -> None:
        self._context, self.origin, self.leave_to = context, settings.public_url, settings.leave_to
        self.zone = ZoneInfo(settings.time_zone)
        self.secure = self.origin.startswith("https://")
        # With the prefix, a browser takes the cookie from this very host alone, and asks for the path `/`
        # (https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis, section 4.1.3.2).
        self.cookie, self._path = (SECURE_COOKIE, "/") if self.secure else (COOKIE, "/my")
        self.rate_limiter = RateLimiter(context.clock, context.secrets, settings.proxies)
        self._slow_checks = ConcurrencyLimit()

    def session(self, request: Request) -> Session:
        """Return the present session; raise 401 without one, 403 if another site sent the request."""
        self.same_site(request)
        return sessions.find_session(self._context, request.cookies.get(self.cookie))

    def stepped_up(self, request: Request) -> Session:
        """Return the present session; raise 403 unless its PIN was given in the last minutes."""
        return with_pin(self.session(request))

    def same_site(self, request: Request) -> None:
        """Raise 403 for a request that another site's page sends in her name.

        Browsers name that page's origin, and tell whether it is another site's. For her own pages, which send no
        referrer, the origin is `null`. A browser too old for the second header is stopped by the cookie's `SameSite`, and by
        the token of each form.
        """
        if request.method in {"GET", "HEAD"}:
            return
        named = request.headers.get("origin") in {None, "null", self.origin}
        if not named or request.headers.get("sec-fetch-site") not in _OWN_PAGES:
            raise Problem(403, "other-site", "This did not come from here.")

    def come_in(self, request: Request, passphrase: str) -> str:
        """Open a session with her passphrase and return its token; raise 401, 429 or 503. An impossible one costs nothing."""
        if not self._context.secrets.could_be_passphrase(passphrase):
            raise sessions.not_let_in()
        self.rate_limiter.spend(request)
        typed, address = self._context.secrets.tag("typed", passphrase), self.rate_limiter.address(request)
        # Counted by words and address: somebody else who has her words must not hold both of her places.
        with self._slow_checks.place("passphrase", (typed, address), address):
            return sessions.come_in(self._context, passphrase)

    def claim(self, request: Request, code: str, pin: str | None, language: str | None = None) -> Claimed:
        """Exchange a claim code for passphrase, PIN and session. A wrong code costs nothing and takes no place."""
        row = sessions.check_claim(self._context, code, pin)
        address = self.rate_limiter.address(request)
        with self._slow_checks.place("claim", (row.id, address), address, row.advocate):
            return sessions.claim(self._context, code, pin, language)

    def step_up(self, request: Request, session: Session, pin: str) -> None:
        """Step the session up with her PIN."""
        with self._place("pin", request, session):
            lane = self.rate_limiter.lane(request, session.subject)
            pin_attempts.step_up(self._context, session, pin, lane)

    def confirm(self, request: Request, session: Session, pin: str) -> Session:
        """Return the session, stepped up with the PIN of this request; raise 403 without one, however recent the last was."""
        if not pin:
            raise sessions.pin_needed("Send it with this request.")
        self.step_up(request, session, pin)
        return replace(session, stepped_up=True)

    def new_passphrase(self, request: Request, session: Session) -> str:
        """Replace her passphrase and return the new one."""
        with self._place("new", request, session):
            return credentials.new_passphrase(self._context, session)

    def new_pin(self, request: Request, session: Session, pin: str) -> None:
        """Replace her PIN."""
        with self._place("new", request, session):
            credentials.new_pin(self._context, session, pin)

    @contextmanager
    def _place(self, kind: str, request: Request, session: Session) -> Iterator[None]:
        """Hold a place for a slow check of one session; its address and the agency that registered her pay for it."""
        address, agency = self.rate_limiter.address(request), sessions.agency_of(self._context, session)
        with self._slow_checks.place(kind, session.digest, address, agency):
            yield

    def let_in(self, response: Response, token: str) -> None:
        """Set the session's cookie, for this site only and until the browser closes."""
        response.set_cookie(self.cookie, token, path=self._path, httponly=True, samesite="strict", secure=self.secure)

    def show_out(self, response: Response) -> None:
        """Delete the cookie and all of this site's data from the browser."""
        response.delete_cookie(self.cookie, path=self._path, httponly=True, samesite="strict", secure=self.secure)
        response.headers["Clear-Site-Data"] = '"*"'


ContextDep = Annotated[Context, Depends(from_state("context"))]
SurvivorAuthDep = Annotated[SurvivorAuth, Depends(from_state("auth"))]


async def _presented(request: Request, context: ContextDep, _agency: Caller) -> consistency_tokens.Seen:
    headers = request.headers.getlist(consistency_tokens.HEADER)
    return consistency_tokens.read(context, headers) if headers else consistency_tokens.NOTHING


Presented = Annotated[consistency_tokens.Seen, Depends(_presented)]
"""The survivors' epochs that the caller has seen, by the tokens that it presents."""


def with_pin(session: Session) -> Session:
    """Return the session; raise 403 unless its PIN was given in the last minutes."""
    if not session.stepped_up:
        raise sessions.pin_needed()
    return session


def find_session(request: Request) -> Session:
    """Return the present session; raise 401 without one, 403 if another site sent the request."""
    auth: SurvivorAuth = request.app.state.auth
    return auth.session(request)


@before_body(find_session)
async def _here(request: Request) -> Session:
    session: Session = await checked_in_thread(request, find_session)
    return session


@before_body(find_session)
async def _widening(request: Request) -> Session:
    return with_pin(await checked_in_thread(request, find_session))


SessionDep = Annotated[Session, Depends(_here)]
"""A session: enough for reading, and for everything that takes away."""
SteppedUpDep = Annotated[Session, Depends(_widening)]
"""A session with a recent PIN: for everything that lets others see more. What cannot be undone asks in that request."""
