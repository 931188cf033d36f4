"""Asks the consent service what may be sealed. Any doubt or delay is a 503, and then nothing is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
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
from services.common.http.certificates import of_the_library

TIMEOUT_SECONDS = 5.0
TOKEN_SECONDS = 60


class Sending(NamedTuple):
    """An event that an agency wants to send; without `to` it only asks whether she is counted.

    `texts` holds the digest of each part. Consent compares it with what she has read, and no clear part leaves this service.
    """

    agency: str
    ppid: str
    to: str | None
    purpose: str | None
    categories: list[str]
    texts: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Seal:
    """A permission to seal: the grant, its public key, the categories and the epoch.

    Of each category only the text with the digest in `texts` may be sealed. In those of `hers` she wrote herself: an empty
    part is sealed there, which her words fill when it is opened.
    """

    grant: str
    public_key: X25519PublicKey
    categories: frozenset[str]
    epoch: int
    texts: Mapping[str, str] = field(default_factory=dict)
    hers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Answer:
    """One decision: what may be sealed, if anything, and her statistics pseudonym if she is counted.

    `not_as_approved` holds the categories that are withheld because she allowed other texts, word for word.
    """

    seal: Seal | None
    statistics: str | None
    not_as_approved: frozenset[str] = frozenset()


class ConsentClient:
    """A client of the consent service. It caches nothing: each post is decided anew."""

    def __init__(self, url: str, key: OKPKey, clock: Clock) -> None:
        self._client = httpx2.Client(base_url=url, timeout=TIMEOUT_SECONDS, verify=of_the_library())
        self._key, self._clock = key, clock

    def ask(self, sendings: Sequence[Sending]) -> list[Answer]:
        """Return one answer for each sending, in order; raise a 503 problem if consent cannot be asked."""
        if not sendings:
            return []
        with telemetry.span("decide", SpanKind.CLIENT):
            authorization = {"authorization": f"Bearer {self._token()}", "content-type": "application/json"}
            headers = {**authorization, **telemetry.outgoing_context()}
            try:
                body = to_json({"sendings": [_asked(sending) for sending in sendings]})
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


def _asked(sending: Sending) -> dict[str, Any]:
    return {**sending._asdict(), "texts": dict(sending.texts)}


def _answer(item: dict[str, Any]) -> Answer:
    told = item["seal"]
    seal = _seal(told) if told else None
    return Answer(seal, item["statistics"], frozenset(item["not_as_approved"]))


def _seal(told: dict[str, Any]) -> Seal:
    # Raises `ValueError` for a key to which nothing can be sealed.
    key = X25519PublicKey.from_public_bytes(from_base64url(told["public_key"]))
    hers = frozenset(told["hers"])
    return Seal(told["grant"], key, frozenset(told["categories"]), told["epoch"], dict(told["texts"]), hers)
