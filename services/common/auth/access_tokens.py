"""The access gate of partner routes: it checks access token, DPoP proof and standing on every request."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any

import httpx2
from fastapi import Depends, Request
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from starlette.datastructures import Headers

from services.common import telemetry
from services.common.auth.dpop import CHALLENGE, Expected, Proof, verify_proof
from services.common.auth.dpop import WHAT as DPOP
from services.common.auth.jose import Signed, Untrusted, check_claims, check_texts, check_window, key_set, verify
from services.common.auth.replay import ReplayGuard
from services.common.clock import Clock
from services.common.errors import Fault, Problem, unavailable
from services.common.http.certificates import of_the_library
from services.common.http.gates import before_body, checked_in_thread
from services.common.http.query import check_query
from services.common.http.rate_limit import RateLimits
from services.common.settings import Settings
from services.common.worker import Loop, every

AUDIENCE = "urn:fireweed:hub"
WHAT = "access token"
KEPT_TOKENS = 4096


class TokenKeys:
    """The public keys that verify tokens, read again every minute.

    A request waits for the keys only as long as none could be read; intake publishes a new key well before it signs with it.
    """

    def __init__(self, url: str | None = None, keys: KeySet | None = None) -> None:
        self._url, self._keys = url, keys

    def current(self) -> KeySet:
        """Return the keys; raises a 503 problem as long as none could be read."""
        if self._keys is None:
            self.refresh()
        if self._keys is None:
            raise unavailable("The keys that verify tokens cannot be read yet.")
        return self._keys

    def refresh(self) -> None:
        """Read the keys again; after a failure the present ones stay."""
        if self._url is None:
            return
        try:
            answer = httpx2.get(self._url, timeout=2.0, verify=of_the_library()).raise_for_status()
            self._keys = key_set(answer.json()["keys"])
        except (httpx2.HTTPError, ValueError, KeyError, TypeError, JoseError) as error:
            telemetry.log.warning("token keys cannot be read (%s)", type(error).__name__)

    def loop(self) -> Loop:
        """Return a loop that reads the keys every minute."""
        return every(60.0, self.refresh)


class VerifiedTokens:
    """Remembers the tokens whose signatures were verified; the claims of a token are checked at each request."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Signed] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, token: str, check: Callable[[], Signed]) -> Signed:
        """Return the verified content of a token; `check` verifies its signature at the first time."""
        name = sha256(token.encode()).digest()
        with self._lock:
            if signed := self._kept.get(name):
                return signed
        signed = check()
        with self._lock:
            self._kept[name] = signed
            if len(self._kept) > KEPT_TOKENS:
                self._kept.popitem(last=False)
        return signed


@dataclass(frozen=True, slots=True)
class AccessGate:
    """The check before every partner route. `standing` returns an agency's present standing, None if it is unknown."""

    keys: TokenKeys
    issuer: str
    public_url: str
    replay: ReplayGuard
    clock: Clock
    standing: Callable[[str], str | None]
    limits: RateLimits
    seen: VerifiedTokens = field(default_factory=VerifiedTokens)

    def __call__(self, request: Request) -> str:
        """Return the id of the calling agency; raises a 401 or 403 problem."""
        try:
            agency, proof = self._identify(request)
            if self.standing(agency) != "active":
                raise not_active()
            # Last, so that only requests of active clients leave a row.
            proof.use_up(self.replay, self.clock.now())
        except Untrusted as reason:
            raise _unauthorized(reason.fault) from reason
        return agency

    def _identify(self, request: Request) -> tuple[str, Proof]:
        """Return the agency of a token and the proof of the key to which it is bound. Raises `Untrusted`."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "dpop" or not token:
            raise Untrusted(Fault("Authorization", "An access token is needed here.", "`DPoP` and an access token"))
        claims = self._claims(token)
        request.state.token_end = datetime.fromtimestamp(claims["exp"], UTC)
        # The path before decoding: decoded, `%2F` would look like a separator.
        url = f"{self.public_url}{request.scope['raw_path'].decode('latin-1')}"
        proof = verify_proof(proof_of(request.headers), Expected(request.method, url, token), self.clock.now())
        if claims.get("cnf", {}).get("jkt") != proof.thumbprint:
            asked = "a proof by the key with which you asked for the token"
            raise Untrusted(Fault(f"{WHAT} cnf", "The token is bound to another key than this proof's.", asked))
        return str(claims["client_id"]), proof

    def _claims(self, token: str) -> Mapping[str, Any]:
        signed = self.seen.get(token, lambda: verify(token, self.keys.current(), WHAT))
        check_claims(signed.header, {"typ": "at+jwt"}, WHAT)
        check_claims(signed.claims, {"iss": self.issuer, "aud": AUDIENCE}, WHAT)
        check_texts(signed.claims, ["client_id", "jti"], WHAT)
        # A token without `exp` counts as expired (RFC 9068, section 2.2, requires it).
        check_window({"exp": 0, **signed.claims}, self.clock.now(), WHAT)
        return signed.claims


def access_gate(
    settings: Settings, keys: TokenKeys, replay: ReplayGuard, clock: Clock, standing: Callable[[str], str | None]
) -> AccessGate:
    """Return the access check of one service; `standing` returns an agency's present standing, None if unknown."""
    limits = RateLimits(clock, settings.limit_factor)
    return AccessGate(keys, settings.token_issuer, settings.public_url, replay, clock, standing, limits)


def proof_of(headers: Headers) -> str:
    """Return the `DPoP` header; two are joined (RFC 9110, section 5.3) and so are no valid proof (RFC 9449, section 4.3)."""
    return ", ".join(headers.getlist("dpop"))


def _gate(request: Request) -> str:
    gate: AccessGate = request.app.state.gate
    return gate(request)


@before_body(_gate)
async def _caller(request: Request) -> str:
    agency: str = await checked_in_thread(request, _gate)
    check_query(request)
    return agency


Caller = Annotated[str, Depends(_caller)]
"""The id of the calling agency: a route with this parameter is behind the application's `AccessGate`."""


async def _token_end(request: Request, _agency: Caller) -> datetime:
    end: datetime = request.state.token_end
    return end


TokenEnd = Annotated[datetime, Depends(_token_end)]
"""The time at which the caller's token expires."""


def not_active() -> Problem:
    """Return the 403 problem for an agency that is suspended or unknown here."""
    return Problem(403, "not-active", "Your agency may not act here now. Please ask the hub's operator.")


def _unauthorized(fault: Fault) -> Problem:
    error = "invalid_dpop_proof" if fault.member.startswith(DPOP) else "invalid_token"
    challenge = f'{CHALLENGE}, error="{error}"'
    return Problem(
        401, "not-authorized", "This request does not prove who sends it.", [fault], {"WWW-Authenticate": challenge}
    )
