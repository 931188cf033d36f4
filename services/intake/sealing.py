"""Seals permitted parts to a grant's public key. This service has no key that would open them again."""

import os
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

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
from services.common.part_texts import digest, exact
from services.intake.consent_client import Seal


def parts_to_seal(parts: Mapping[str, Mapping[str, Any]], permitted: Seal) -> dict[str, Mapping[str, Any]]:
    """Return the parts that consent allows, exactly those whose digest it named; an empty one where she wrote herself."""
    chosen: dict[str, Mapping[str, Any]] = {}
    for category in sorted(permitted.categories & parts.keys()):
        if category in permitted.hers:
            chosen[category] = {}
        elif permitted.texts.get(category) == digest(category, parts[category]):
            chosen[category] = parts[category]
    return chosen


def seal(header: Header, public_key: X25519PublicKey, parts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the envelope's text: each part under its own key, all of those under the grant's public key."""
    content_key = os.urandom(CONTENT_KEY_BYTES)
    wrapped = SUITE.encrypt(content_key, public_key, info=header.context)
    sealed = {category: _seal_part(content_key, header, category, part) for category, part in sorted(parts.items())}
    return write(Envelope(header, wrapped, sealed))


def _seal_part(content_key: bytes, header: Header, category: str, part: Mapping[str, Any]) -> bytes:
    content = pad(exact(part))
    return AESGCM(part_key(content_key, category)).encrypt(NONCE, content, part_context(header, category))
