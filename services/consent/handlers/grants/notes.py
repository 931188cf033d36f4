"""The words she approved for one agency: sealed to the grant's own key, so that they end with the grant."""

import json
from collections.abc import Mapping
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from sqlalchemy import Connection

from services.common.envelope import SUITE, pad
from services.consent.context import Context
from services.consent.store import keys as key_store
from services.consent.store import permissions, personal_records

LONGEST = 1000


def keep(connection: Connection, grant: UUID, words: str | None) -> None:
    """Keep her words for a grant in place of what was kept; none, if she gave none."""
    row = permissions.get_grant(connection, grant)
    if row is None or not words or not words.strip():
        personal_records.forget_note(connection, grant)
        return
    content = pad(json.dumps(words.strip(), ensure_ascii=False).encode())
    sealed = SUITE.encrypt(content, X25519PublicKey.from_public_bytes(row.public_key), info=_context(grant))
    personal_records.save_note(connection, {"grant_id": grant, "subject_id": row.subject_id, "sealed": sealed})


def approved(connection: Connection, private_keys: Mapping[UUID, bytes]) -> dict[UUID, str]:
    """Her words for each of the grants, given with their keys, for which she gave some."""
    found = {}
    for grant, sealed in personal_records.notes_for(connection, list(private_keys)).items():
        private = X25519PrivateKey.from_private_bytes(private_keys[grant])
        found[grant] = str(json.loads(SUITE.decrypt(sealed, private, info=_context(grant))))
    return found


def show(context: Context, subject: UUID, grant: UUID) -> str | None:
    """The same for her own eyes; None also when the grant is not hers, or has ended and taken them along."""
    with context.database.reading() as connection:
        row = permissions.get_grant(connection, grant)
        if row is None or row.subject_id != subject:
            return None
        return approved(connection, key_store.grant_secrets(connection, context.keys, [grant])).get(grant)


def _context(grant: UUID) -> bytes:
    return f"fireweed/approved-words/v1/{grant}".encode()
