"""The one form in bytes of a part, in which it is read back, hashed and sealed: what she read is what is sent.

The form is JSON with sorted members and no spaces, in UTF-8. Texts are not normalised: two that differ in any character
differ here, also where they look alike on a page (`é` in one character and in two). The order of members has no meaning in
JSON, and none here.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from services.common.encoding import base64url, canonical


def exact(part: Mapping[str, Any]) -> bytes:
    """Return the exact bytes of a part, as they are sealed."""
    return canonical(part)


def digest(category: str, part: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a part's exact bytes and its category, in base64url."""
    return base64url(sha256(f"fireweed/part-text/v1/{category}\0".encode() + exact(part)).digest())
