"""Asks the consent service what may be sealed. Any doubt or delay is a 503, and then nothing is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx2
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from joserfc import jwt
from joserfc.jwk import OKPKey
from opentelemetry.trace import SpanKind
from pydantic_core import from_json, to_json

from services.common import telemetry
from services.common.clock import Clock
from services.common.encoding import from_base64url
from services.common.errors import unavailable

TIMEOUT_SECONDS = 5.0
TOKEN_SECONDS = 60


class Sending(NamedTuple):
    """An event that an agency wants to send; without `to` it only asks whether she is counted."""

    agency: str
    ppid: str
    to: str | None
    purpose: str | None
    categories: list[str]


@dataclass(frozen=True, slots=True)
class Seal:
    """A permission to seal: the grant, its public key, the categories and the epoch."""

    grant: str
    public_key: X25519PublicKey
    categories: frozenset[str]
    epoch: int


@dataclass(frozen=True, slots=True)
class Answer:
    """One decision: what may be sealed, if anything, and her statistics pseudonym if she is counted."""

    seal: Seal | None
    statistics: str | None


class ConsentClient:
    """A client of the consent service. It caches nothing: each post is decided anew."""

    def __init__(self, url: str, key: OKPKey, clock: Clock) -> None:
        self._client = httpx2.Client(base_url=url, timeout=TIMEOUT_SECONDS)
        self._key, self._clock = key, clock

    def ask(self, sendings: Sequence[Sending]) -> list[Answer]:
        """Return one answer for each sending, in order; raise a 503 problem if consent cannot be asked."""
        if not sendings:
            return []
        with telemetry.span("decide", SpanKind.CLIENT):
            authorization = {"authorization": f"Bearer {self._token()}", "content-type": "application/json"}
            headers = {**authorization, **telemetry.outgoing_context()}
            try:
                body = to_json({"sendings": [sending._asdict() for sending in sendings]})
                response = self._client.post("/internal/consent/v1/decisions", content=body, headers=headers)
                answers = [_answer(item) for item in from_json(response.raise_for_status().content)]
                if len(answers) != len(sendings):
                    raise ValueError("an answer is missing")
            except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
                telemetry.log.warning("consent cannot be asked (%s)", type(error).__name__)
                raise unavailable(
                    "Consent cannot be checked just now. Nothing was stored; please try again."
                ) from error
        return answers

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _token(self) -> str:
        now = int(self._clock.now().timestamp())
        claims = {"sub": "intake", "aud": "urn:fireweed:consent", "iat": now, "exp": now + TOKEN_SECONDS}
        header = {"alg": "Ed25519", "typ": "service+jwt", "kid": self._key.kid}
        return jwt.encode(header, claims, self._key, algorithms=["Ed25519"])


def _answer(item: dict[str, Any]) -> Answer:
    told = item["seal"]
    return Answer(seal=_seal(told) if told else None, statistics=item["statistics"])


def _seal(told: dict[str, Any]) -> Seal:
    # Raises `ValueError` for a key to which nothing can be sealed.
    key = X25519PublicKey.from_public_bytes(from_base64url(told["public_key"]))
    return Seal(told["grant"], key, frozenset(told["categories"]), told["epoch"])
