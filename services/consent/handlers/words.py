"""The words she approved for one agency: sealed to the grant's own key, so that they end with the grant."""

import json
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from sqlalchemy import Connection

from services.common.envelope import SUITE, pad
from services.consent.keys import KeyGone
from services.consent.room import Room
from services.consent.store import keys as key_store
from services.consent.store import papers, permissions

LONGEST = 1000


def keep(connection: Connection, grant: UUID, subject: UUID, public_key: bytes, words: str | None) -> None:
    """Keep her words for a new grant, if she gave some."""
    if words and words.strip():
        content = pad(json.dumps(words.strip(), ensure_ascii=False).encode())
        sealed = SUITE.encrypt(content, X25519PublicKey.from_public_bytes(public_key), info=_context(grant))
        papers.add_words(connection, {"grant_id": grant, "subject_id": subject, "sealed": sealed})


def approved(connection: Connection, grant: UUID, private_key: bytes) -> str | None:
    """Her words for a grant; None if she gave none."""
    sealed = papers.words_for(connection, grant)
    if sealed is None:
        return None
    content = SUITE.decrypt(sealed, X25519PrivateKey.from_private_bytes(private_key), info=_context(grant))
    return str(json.loads(content))


def show(room: Room, subject: UUID, grant: UUID) -> str | None:
    """The same for her own eyes; None also when the grant is not hers, or has ended and taken them along."""
    with room.database.reading() as connection:
        row = permissions.get_grant(connection, grant)
        if row is None or row.subject_id != subject:
            return None
        try:
            secret = key_store.grant_secrets(connection, room.keys, [grant]).get(grant)
        except KeyGone:
            return None
        return approved(connection, grant, secret) if secret else None


def _context(grant: UUID) -> bytes:
    return f"fireweed/approved-words/v1/{grant}".encode()
