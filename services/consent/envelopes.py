"""Envelopes that an agency asks to open: reads them, finds their grant, and opens them with the grant's key."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.common.envelope import NONCE, SUITE, Envelope, Header, NotAnEnvelope, part_context, part_key, read
from services.common.errors import Problem, not_found

NEVER = UUID(int=0)


class Unopenable(Exception):
    """No key fits, or the envelope was changed."""


@dataclass(slots=True)
class RequestedEnvelope:
    """One envelope during an opening. Until more is known of it, it is answered like one that does not exist."""

    sealed: Envelope | None = None
    grant: UUID = NEVER
    subject: UUID | None = None
    closed: bool = False
    """Whether it can never open for the caller: its grant has ended, or names another agency."""
    epoch: int = 0
    """How often something that concerns its grant has changed, as far as this database knows."""
    only_this: bool = True
    """Whether its grant allows only the texts that she has read."""
    opening: UUID = NEVER
    categories: frozenset[str] = frozenset()
    """Permitted categories, set once the intent is in the ledger."""
    answer: dict[str, Any] | None = None
    problem: Problem | None = None

    @property
    def header(self) -> Header:
        """The envelope's header."""
        assert self.sealed is not None  # noqa: S101 - only envelopes that could be read have a grant or a subject
        return self.sealed.header

    @property
    def owner(self) -> UUID:
        """The subject; asked only of envelopes whose grant was found."""
        assert self.subject is not None  # noqa: S101 - as above
        return self.subject

    @property
    def parts(self) -> frozenset[str]:
        """The categories that it holds parts of."""
        return frozenset(self.sealed.parts) if self.sealed else frozenset()

    @property
    def opened(self) -> bool:
        """Whether its parts are about to leave."""
        return self.answer is not None

    @property
    def refused(self) -> bool:
        """Whether it is answered like one that does not exist."""
        return self.answer is None and self.problem is None

    @property
    def refusal(self) -> Problem:
        """The problem to answer with: the same 404 for absent and for forbidden, or a 503 to try again."""
        return self.problem or not_found()


def read_envelope(text: str) -> RequestedEnvelope:
    """Return the envelope in a text; an empty one unless the header names grant and event by plain UUIDs.

    A refusal goes into her ledger before the header is proven, so a forged header could otherwise write text to her there.
    """
    try:
        sealed = read(text)
        if any(str(UUID(name)) != name for name in (sealed.header.grant, sealed.header.id)):
            raise NotAnEnvelope
    except ValueError:
        return RequestedEnvelope()
    return RequestedEnvelope(sealed, UUID(sealed.header.grant))


def open_envelope(envelope: RequestedEnvelope, private: X25519PrivateKey | None) -> Mapping[str, Any]:
    """Return the permitted parts by category; raise `Unopenable`."""
    if private is None or envelope.sealed is None:
        raise Unopenable
    try:
        content_key = SUITE.decrypt(envelope.sealed.key, private, info=envelope.header.context)
        return {category: _part(envelope.sealed, content_key, category) for category in sorted(envelope.categories)}
    except (InvalidTag, ValueError) as error:
        raise Unopenable from error


def as_delivered(parts: Mapping[str, Any], note: str | None) -> Mapping[str, Any]:
    """Return opened parts as they leave: her note in place of any summary, and no part that is empty."""
    filled = {**parts, "summary": {"text": note}} if note is not None and "summary" in parts else parts
    return {category: part for category, part in filled.items() if part}


def _part(sealed: Envelope, content_key: bytes, category: str) -> Any:
    cipher = AESGCM(part_key(content_key, category))
    return json.loads(cipher.decrypt(NONCE, sealed.parts[category], part_context(sealed.header, category)))
