"""A partner's key and what it signs, right or wrong in any one place."""

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
    """A JWT. What is None is left out."""
    kept = {name: value for name, value in claims.items() if value is not None}
    stated = {name: value for name, value in header.items() if value is not None}
    return jwt.encode(stated, kept, key, algorithms=[stated["alg"]])


def public(key: Key) -> dict[str, Any]:
    """A key as a proof carries it."""
    return {name: value for name, value in key.as_dict(private=False).items() if name != "kid"}


def thumbprint_of(token: str) -> str:
    """The `ath` of a token."""
    return base64url(sha256(token.encode()).digest())


def key_pair() -> Key:
    """A partner's key."""
    return ECKey.generate_key("P-256")


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a key."""

    key: Key = field(default_factory=key_pair)

    def proof(
        self, method: str, url: str, token: str | None = None, header: Mapping[str, Any] | None = None, **claims: Any
    ) -> str:
        """A DPoP proof, with other header members or claims where they are given; None leaves one out."""
        stated = {"alg": "ES256", "typ": "dpop+jwt", "jwk": public(self.key), **(header or {})}
        ath = thumbprint_of(token) if token else None
        return sign(
            self.key, stated, {"htm": method, "htu": url, "iat": NOW, "jti": str(uuid4()), "ath": ath, **claims}
        )


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs access tokens."""

    key: Key = field(default_factory=lambda: OKPKey.generate_key("Ed25519"))

    def token(self, bound_to: Key, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """A token for agency-a, with other header members or claims where they are given; None leaves one out."""
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
