"""Seals permitted parts to a grant's public key. This service has no key that would open them again."""

import os
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic_core import to_json

from services.common.envelope import (
    CONTENT_KEY_BYTES,
    NONCE,
    SUITE,
    Envelope,
    Header,
    pad,
    part_context,
    part_key,
    write,
)


def seal(header: Header, public_key: X25519PublicKey, parts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the envelope's text: each part under its own key, all of those under the grant's public key."""
    content_key = os.urandom(CONTENT_KEY_BYTES)
    wrapped = SUITE.encrypt(content_key, public_key, info=header.context)
    sealed = {category: _seal_part(content_key, header, category, part) for category, part in sorted(parts.items())}
    return write(Envelope(header, wrapped, sealed))


def _seal_part(content_key: bytes, header: Header, category: str, part: Mapping[str, Any]) -> bytes:
    content = pad(to_json(part))
    return AESGCM(part_key(content_key, category)).encrypt(NONCE, content, part_context(header, category))
