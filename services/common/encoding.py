"""Encodings of bytes, JSON and times as texts."""

import json
from base64 import b32encode, urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from secrets import token_bytes

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def base64url(data: bytes) -> str:
    """Encode bytes in base64url without padding (RFC 7515, section 2)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """Decode an unpadded base64url text; raises `ValueError`."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def base32(data: bytes) -> str:
    """Encode bytes in lower-case base32 without padding: safe in speech, file names and URLs."""
    return b32encode(data).rstrip(b"=").decode().lower()


def random_name(size: int) -> str:
    """Return a random lower-case text of `size` base32 characters (5 bits each)."""
    return base32(token_bytes(size))[:size]


def canonical(document: object) -> bytes:
    """Encode JSON with sorted keys and no spaces: one encoding for one meaning, for hashing and signing."""
    return _canonical(document).encode()


def timestamp(moment: datetime | None) -> str | None:
    """Return a moment in ISO 8601, as JSON documents of the hub hold it; None for None."""
    return moment.isoformat() if moment else None
