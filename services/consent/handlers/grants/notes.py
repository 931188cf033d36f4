"""Her note for one agency: sealed to the grant's own key, so that it ends with the grant."""

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


def keep(connection: Connection, grant: UUID, note: str | None) -> None:
    """Keep her note for a grant in place of an earlier one; without a note, remove that."""
    row = permissions.get_grant(connection, grant)
    if row is None or not note or not note.strip():
        personal_records.forget_note(connection, grant)
        return
    content = pad(json.dumps(note.strip(), ensure_ascii=False).encode())
    sealed = SUITE.encrypt(content, X25519PublicKey.from_public_bytes(row.public_key), info=_context(grant))
    personal_records.save_note(connection, {"grant_id": grant, "subject_id": row.subject_id, "sealed": sealed})


def approved(connection: Connection, private_keys: Mapping[UUID, bytes]) -> dict[UUID, str]:
    """Return her note for each of the grants, given with their private keys, that has one."""
    found = {}
    for grant, sealed in personal_records.notes_for(connection, list(private_keys)).items():
        private = X25519PrivateKey.from_private_bytes(private_keys[grant])
        found[grant] = str(json.loads(SUITE.decrypt(sealed, private, info=_context(grant))))
    return found


def show(context: Context, subject: UUID, grant: UUID) -> str | None:
    """Return her note for a grant to herself; None if there is none, or the grant is not hers or has ended."""
    with context.database.reading() as connection:
        row = permissions.get_grant(connection, grant)
        if row is None or row.subject_id != subject:
            return None
        return approved(connection, key_store.grant_secrets(connection, context.keys, [grant])).get(grant)


def _context(grant: UUID) -> bytes:
    return f"fireweed/approved-words/v1/{grant}".encode()
