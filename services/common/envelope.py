"""The envelope: its header, its text form, and how the key and context of each part are derived.

An envelope is for one recipient under one grant and holds one part per data category. Intake seals and consent opens; this
module holds only the rules that both must agree on. HPKE (RFC 9180) carries one random content key per envelope. Each part
is AES-256-GCM under its own subkey, bound to the header and its category, so that nothing can be moved from one envelope
or category to another.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from pydantic_core import to_json

from services.common.encoding import base64url, from_base64url

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
PREFIX = "fw1."
MAX_LENGTH = 400_000
CONTENT_KEY_BYTES = 32
# The key of a part encrypts one message only (the content key is random per envelope), so its nonce need not vary.
NONCE = bytes(12)
# Parts are padded to a multiple of this, so that their length tells little about their content.
PADDING = 256


class NotAnEnvelope(ValueError):
    """A text is not an envelope of this hub."""


@dataclass(frozen=True)
class Header:
    """The readable members of an envelope, to which its content is bound."""

    id: str
    recipient: str
    grant: str
    epoch: int
    type: str

    @cached_property
    def context(self) -> bytes:
        """Return the header's one encoding in bytes, for HPKE `info` and as the first part of each AAD."""
        return to_json(self.as_json())

    def as_json(self) -> dict[str, object]:
        """Return the header's members by name."""
        return {
            "epoch": self.epoch,
            "grant": self.grant,
            "id": self.id,
            "recipient": self.recipient,
            "type": self.type,
        }


@dataclass(frozen=True, slots=True)
class Envelope:
    """A sealed envelope: header, wrapped content key, and a ciphertext for each category."""

    header: Header
    key: bytes
    parts: Mapping[str, bytes]


def part_key(content_key: bytes, category: str) -> bytes:
    """Derive the 32-byte key of one category's part."""
    return HKDFExpand(hashes.SHA256(), 32, f"fireweed/part/v1/{category}".encode()).derive(content_key)


def part_context(header: Header, category: str) -> bytes:
    """Return the AAD of one category's part: event, recipient, grant, epoch, type and category."""
    return header.context + b"\x00" + category.encode()


def pad(content: bytes) -> bytes:
    """Pad JSON with spaces, which a parser ignores, to a multiple of `PADDING` bytes."""
    return content.ljust(-(-len(content) // PADDING) * PADDING)


def write(envelope: Envelope) -> str:
    """Return an envelope as one opaque text, safe in JSON and URLs."""
    document = {"header": envelope.header.as_json(), "key": envelope.key, "parts": envelope.parts}
    return PREFIX + base64url(to_json(document, bytes_mode="base64"))


def read(text: object) -> Envelope:
    """Parse the text of an envelope; raises `NotAnEnvelope` for anything else."""
    try:
        if not isinstance(text, str) or not text.startswith(PREFIX) or len(text) > MAX_LENGTH:
            raise NotAnEnvelope
        return _build(json.loads(from_base64url(text.removeprefix(PREFIX))))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise NotAnEnvelope from error


def _build(document: Any) -> Envelope:
    header = Header(**document["header"])
    UUID(header.grant)
    parts = {str(category): from_base64url(part) for category, part in document["parts"].items()}
    texts = (header.id, header.recipient, header.grant, header.type, *parts)
    # An unprintable text (NUL, half of a surrogate pair) can be neither looked up nor bound to a part. A value that is not
    # a text raises here.
    if not all(text.isprintable() for text in texts):
        raise NotAnEnvelope
    if isinstance(header.epoch, bool) or not isinstance(header.epoch, int):
        raise NotAnEnvelope
    return Envelope(header, from_base64url(document["key"]), parts)
