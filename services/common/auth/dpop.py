"""DPoP (RFC 9449): with each request the caller proves that it holds the key to which its token is bound."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from urllib.parse import urlsplit

from services.common.auth.jose import (
    ALGORITHMS,
    Untrusted,
    check_claims,
    check_texts,
    check_window,
    header_of,
    public_key,
    verify,
)
from services.common.auth.replay import ReplayGuard
from services.common.encoding import base64url
from services.common.errors import Fault

MAX_AGE_SECONDS = 60
WHAT = "DPoP"
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile("[A-Za-z0-9._~-]")
CHALLENGE = f'DPoP algs="{" ".join(ALGORITHMS[:3])}"'


@dataclass(frozen=True, slots=True)
class Expected:
    """The request that a proof must be made for; `token` is None at the token endpoint."""

    method: str
    url: str
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """A verified proof: the thumbprint (RFC 7638) of its key, and its own identifier. It is not used up yet."""

    thumbprint: str
    jti: str

    def use_up(self, replay: ReplayGuard, now: datetime) -> None:
        """Remember the proof; raise `Untrusted` if it was used before.

        Call this only for a known client: anybody can sign proofs with a key of their own, and each takes a row.
        """
        until = now + timedelta(seconds=2 * MAX_AGE_SECONDS)
        if not replay.first_use(f"dpop:{self.thumbprint}:{self.jti}", until):
            raise Untrusted(Fault(f"{WHAT} jti", "This proof was used before.", "a new proof with each request"))


def verify_proof(proof: str | None, expected: Expected, now: datetime) -> Proof:
    """Verify a `DPoP` header for a request, without remembering it. Raises `Untrusted`."""
    if not proof:
        raise Untrusted(Fault(WHAT, "A DPoP proof is needed with this request.", "one `DPoP` header (RFC 9449)"))
    header = header_of(proof, WHAT)
    check_claims(header, {"typ": "dpop+jwt"}, WHAT)
    key = public_key(header.get("jwk"), WHAT)
    claims = verify(proof, key, WHAT).claims
    check_texts(claims, ["jti"], WHAT)
    check_claims(claims, {"htm": expected.method}, WHAT)
    if _place(claims.get("htu")) != _place(expected.url):
        raise Untrusted(Fault(f"{WHAT} htu", "Missing or not this request's URL.", expected.url))
    if expected.token is not None:
        check_claims(claims, {"ath": base64url(sha256(expected.token.encode()).digest())}, WHAT)
    check_window(claims, now, WHAT, max_age=MAX_AGE_SECONDS)
    return Proof(key.thumbprint(), claims["jti"])


def _place(url: object) -> tuple[str, ...] | None:
    """Normalize a URL without query and fragment (RFC 3986, section 6.2; RFC 9449, section 4.3); None if it is malformed."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        host, port = parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return None
    return parts.scheme, host, str(port), _ESCAPE.sub(_plain, parts.path) or "/"


def _plain(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if _UNRESERVED.match(character) else escape[0].upper()
