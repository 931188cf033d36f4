"""Boxes that an agency asks to have opened: read, known by their grant, and opened with the grant's key."""

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
    """No key fits, or something about the box was changed."""


@dataclass(slots=True)
class RequestedEnvelope:
    """One box under way. As long as nothing else is known of it, there is nothing there."""

    sealed: Envelope | None = None
    grant: UUID = NEVER
    subject: UUID | None = None
    closed: bool = False
    """Whether it can never open for who asks: its grant has ended, or is for somebody else."""
    opening: UUID = NEVER
    categories: frozenset[str] = frozenset()
    """What may be had of it, once its intent is in the ledger."""
    answer: dict[str, Any] | None = None
    problem: Problem | None = None

    @property
    def header(self) -> Header:
        """What is written on it."""
        assert self.sealed is not None  # noqa: S101 - only boxes that could be read have a grant or a subject
        return self.sealed.header

    @property
    def owner(self) -> UUID:
        """Whom it is about; only boxes whose grant was found are asked this."""
        assert self.subject is not None  # noqa: S101 - as above
        return self.subject

    @property
    def parts(self) -> frozenset[str]:
        """The categories it holds."""
        return frozenset(self.sealed.parts) if self.sealed else frozenset()

    @property
    def opened(self) -> bool:
        """Whether its parts are about to leave."""
        return self.answer is not None

    @property
    def refusal(self) -> Problem:
        """Why not: absent, and what may not be known of, alike; or that it may be asked again in a moment."""
        return self.problem or not_found()


def read_envelope(text: str) -> RequestedEnvelope:
    """The box in a text; an empty one unless it names grant and event by ids and nothing else.

    A refusal goes into her ledger before the header is proven, so that a forged one could otherwise write to her there.
    """
    try:
        sealed = read(text)
        if any(str(UUID(name)) != name for name in (sealed.header.grant, sealed.header.id)):
            raise NotAnEnvelope
    except ValueError:
        return RequestedEnvelope()
    return RequestedEnvelope(sealed, UUID(sealed.header.grant))


def open_envelope(envelope: RequestedEnvelope, private: X25519PrivateKey | None) -> Mapping[str, Any]:
    """The permitted parts; raises `Unopenable`."""
    if private is None or envelope.sealed is None:
        raise Unopenable
    try:
        content_key = SUITE.decrypt(envelope.sealed.key, private, info=envelope.header.context)
        return {category: _part(envelope.sealed, content_key, category) for category in sorted(envelope.categories)}
    except (InvalidTag, ValueError) as error:
        raise Unopenable from error


def _part(sealed: Envelope, content_key: bytes, category: str) -> Any:
    cipher = AESGCM(part_key(content_key, category))
    return json.loads(cipher.decrypt(NONCE, sealed.parts[category], part_context(sealed.header, category)))
