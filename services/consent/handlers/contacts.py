"""How she may be reached, if at all: nobody is told; kept sealed, and good only while she has confirmed it lately."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.common.envelope import pad
from services.common.errors import Fault, invalid
from services.consent.keys import KeyGone
from services.consent.room import Room
from services.consent.store import papers

GOOD_FOR = timedelta(days=30)
LONGEST = {"channel": 32, "address": 200, "window": 200, "wording": 200}
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class SafeContact:
    """Her wish, and whether it is fresh enough to go by."""

    wish: Mapping[str, str]
    fresh: bool


def save(room: Room, subject: UUID, wish: Mapping[str, str]) -> None:
    """Keep how she may be reached, and that she said so just now; it replaces what was kept."""
    wrong = [Fault(f"/{name}", "Too long.") for name, most in LONGEST.items() if len(wish[name]) > most]
    if wrong:
        raise invalid(*wrong)
    key, nonce = os.urandom(32), os.urandom(_NONCE_BYTES)
    number, content = room.keys.newest(), pad(json.dumps(dict(wish), ensure_ascii=False).encode())
    row = {
        "subject_id": subject,
        "key_encryption_key": number,
        "wrapped": room.keys.wrap(number, key),
        "sealed": nonce + AESGCM(key).encrypt(nonce, content, subject.bytes),
        "confirmed_at": room.clock.now(),
    }
    with room.database.transaction() as connection:
        papers.save_contact(connection, row)


def confirm(room: Room, subject: UUID) -> None:
    """It is still safe."""
    with room.database.transaction() as connection:
        papers.confirm_contact(connection, subject, room.clock.now())


def forget(room: Room, subject: UUID) -> None:
    """Back to none."""
    with room.database.transaction() as connection:
        papers.forget_contact(connection, subject)


def read(room: Room, subject: UUID) -> SafeContact | None:
    """Her wish; None if she has none, or it can no longer be opened."""
    with room.database.reading() as connection:
        row = papers.contact_of(connection, subject)
    if row is None or row.wrapped is None:
        return None
    try:
        key = room.keys.unwrap(row.key_encryption_key, row.wrapped)
        content = AESGCM(key).decrypt(row.sealed[:_NONCE_BYTES], row.sealed[_NONCE_BYTES:], subject.bytes)
    except (KeyGone, InvalidTag):
        return None
    return SafeContact(json.loads(content), row.confirmed_at > room.clock.now() - GOOD_FOR)
