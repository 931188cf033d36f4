"""Signs access tokens and DPoP proofs for tests, with any header member or claim replaced or left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import uuid4

from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey

from services.common.auth.access_tokens import AUDIENCE
from services.common.encoding import base64url
from tests.support.clocks import NOON

NOW = int(NOON.timestamp())
ISSUER = "https://hub.example/intake"


def sign(key: Key, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """Return a signed JWT; leave out members that are None."""
    kept = {name: value for name, value in claims.items() if value is not None}
    stated = {name: value for name, value in header.items() if value is not None}
    return jwt.encode(stated, kept, key, algorithms=[stated["alg"]])


def public(key: Key) -> dict[str, Any]:
    """Return the public JWK as a proof carries it."""
    return {name: value for name, value in key.as_dict(private=False).items() if name != "kid"}


def thumbprint_of(token: str) -> str:
    """Return the `ath` of a token (RFC 9449)."""
    return base64url(sha256(token.encode()).digest())


def key_pair() -> Key:
    """Return a new key pair of a partner."""
    return ECKey.generate_key("P-256")


@dataclass(frozen=True, slots=True)
class Caller:
    """A partner with a key."""

    key: Key = field(default_factory=key_pair)

    def proof(
        self, method: str, url: str, token: str | None = None, header: Mapping[str, Any] | None = None, **claims: Any
    ) -> str:
        """Return a DPoP proof; given header members and claims replace the usual ones, None leaves one out."""
        stated = {"alg": "ES256", "typ": "dpop+jwt", "jwk": public(self.key), **(header or {})}
        ath = thumbprint_of(token) if token else None
        return sign(
            self.key, stated, {"htm": method, "htu": url, "iat": NOW, "jti": str(uuid4()), "ath": ath, **claims}
        )


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer of access tokens."""

    key: Key = field(default_factory=lambda: OKPKey.generate_key("Ed25519"))

    def token(self, bound_to: Key, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Return a token for agency-a; given header members and claims replace the usual ones, None leaves one out."""
        stated = {"alg": "Ed25519", "typ": "at+jwt", **(header or {})}
        usual = {
            "iss": ISSUER,
            "sub": "agency-a",
            "client_id": "agency-a",
            "aud": AUDIENCE,
            "iat": NOW,
            "exp": NOW + 300,
            "jti": str(uuid4()),
            "cnf": {"jkt": bound_to.thumbprint()},
        }
        return sign(self.key, stated, {**usual, **claims})
