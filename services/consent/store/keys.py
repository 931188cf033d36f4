"""Queries on wrapped keys: of grants, drafts, safe contacts and the ledger, and what key rotation needs."""

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table, bindparam, delete, exists, func, select, update

from services.common.database.advisory_locks import lock_until_commit
from services.common.database.inserts import insert_new, upsert
from services.common.database.list_parameters import listed, one_of
from services.consent.key_encryption import KeyEncryptionKeys, KeyGone
from services.consent.locks import limit_wait
from services.consent.models import audit_key, grant_key, key_encryption_key, request_draft, safe_contact

LIVE = (grant_key, audit_key, safe_contact, request_draft)
"""Tables with wrapped keys; the first column of each names the key's owner."""
LOST = b""
NOBODY = UUID(int=0)
"""Stands for all who were erased: nothing seals to it, and nothing is tied to it."""
# Built once: this is asked with every ledger entry.
_NAME = {table.name: table.primary_key.columns.values()[0] for table in LIVE}
_READ = {
    table.name: select(_NAME[table.name], table.c.key_encryption_key, table.c.wrapped).where(
        one_of(_NAME[table.name], "names")
    )
    for table in LIVE
}
_WRAPS = "fireweed:consent wraps"
WRAPPING_SECONDS = 2.0


def newest_for(connection: Connection, keys: KeyEncryptionKeys) -> int:
    """Return the number of the key to wrap with in this transaction; rotation waits for it before destroying any."""
    lock_until_commit(connection, _WRAPS, shared=True)
    return keys.newest()


def wait_for_wrapping(connection: Connection) -> None:
    """Wait until every transaction that may have wrapped with an older key has ended (on SQLite, one writes at a time).

    Only for seconds: callers that want to wrap wait behind this, and one process that hangs would delay them all.
    """
    if connection.dialect.name == "postgresql":
        limit_wait(connection, WRAPPING_SECONDS)
        lock_until_commit(connection, _WRAPS)


def grant_secrets(connection: Connection, keys: KeyEncryptionKeys, grants: Iterable[UUID]) -> dict[UUID, bytes]:
    """Return the private keys of those grants whose keys still exist, by grant."""
    found = unwrapped(connection, keys, grant_key, list(grants))
    return {name: secret for name, secret in found.items() if secret}


def audit_secrets(
    connection: Connection, keys: KeyEncryptionKeys, subjects: Sequence[UUID]
) -> Mapping[UUID, bytes | None]:
    """Return the ledger keys of survivors who have had one: None for the erased, `LOST` if the wrapping key is gone."""
    return unwrapped(connection, keys, audit_key, subjects)


def contact_secrets(
    connection: Connection, keys: KeyEncryptionKeys, subjects: Sequence[UUID]
) -> Mapping[UUID, bytes | None]:
    """Return the keys of survivors' safe contacts, `LOST` as above; survivors without a contact are left out."""
    return unwrapped(connection, keys, safe_contact, subjects)


def draft_secrets(
    connection: Connection, keys: KeyEncryptionKeys, requests: Sequence[UUID]
) -> Mapping[UUID, bytes | None]:
    """Return the keys of the drafts of requests, `LOST` as above; requests without drafts are left out."""
    return unwrapped(connection, keys, request_draft, requests)


def make_audit_keys(connection: Connection, keys: KeyEncryptionKeys, subjects: Sequence[UUID]) -> None:
    """Make a ledger key for each survivor who has none."""
    number = newest_for(connection, keys)
    rows = [
        {"subject_id": subject, "key_encryption_key": number, "wrapped": keys.wrap(number, os.urandom(32))}
        for subject in subjects
    ]
    insert_new(connection, audit_key, rows)


def replace_audit_key(connection: Connection, keys: KeyEncryptionKeys, subject: UUID) -> None:
    """Replace a lost ledger key; a survivor who was erased meanwhile gets none."""
    number = newest_for(connection, keys)
    anew = {"key_encryption_key": number, "wrapped": keys.wrap(number, os.urandom(32))}
    hers = (audit_key.c.subject_id == subject, audit_key.c.wrapped.is_not(None))
    connection.execute(update(audit_key).where(*hers).values(**anew))


def destroy_audit_key(connection: Connection, keys: KeyEncryptionKeys, subject: UUID, now: datetime) -> None:
    """Destroy a survivor's ledger key. The row stays and tells up to which number keys may have wrapped something of hers."""
    gone = {"wrapped": None, "destroyed_at": now, "key_encryption_key": newest_for(connection, keys)}
    connection.execute(update(audit_key).where(audit_key.c.subject_id == subject).values(**gone))


def forget_destroyed(connection: Connection, subjects: Sequence[UUID]) -> None:
    """Remove the destroyed ledger keys of erased survivors; one row without a name keeps the greatest of their numbers."""
    theirs = (audit_key.c.subject_id.in_(subjects), audit_key.c.wrapped.is_(None))
    numbers = connection.scalars(delete(audit_key).where(*theirs).returning(audit_key.c.key_encryption_key)).all()
    if numbers:
        row = {"subject_id": NOBODY, "key_encryption_key": max(numbers), "wrapped": None}
        upsert(connection, audit_key, [row], newer="key_encryption_key")


def stale_keys(connection: Connection, table: Table, newest: int, limit: int) -> Sequence[Any]:
    """Return some live keys that an older key than this wraps, locked until the transaction ends."""
    older = (table.c.key_encryption_key < newest, table.c.wrapped.is_not(None))
    name = table.primary_key.columns.values()[0]
    query = select(name.label("name"), table.c.key_encryption_key.label("number"), table.c.wrapped).where(*older)
    return connection.execute(query.order_by(name).limit(limit).with_for_update()).all()


def rewrap(connection: Connection, table: Table, newest: int, wrapped: Mapping[UUID, bytes]) -> None:
    """Store keys as the newest key-encryption key wraps them."""
    if not wrapped:
        return
    changing = update(table).where(table.primary_key.columns.values()[0] == bindparam("whose"))
    rows = [{"whose": name, "key_encryption_key": newest, "wrapped": each} for name, each in wrapped.items()]
    connection.execute(changing, rows)


def live_keys(connection: Connection, table: Table, after: UUID | None, limit: int) -> Sequence[Any]:
    """Return a page of live keys, in order of their owners."""
    name = table.primary_key.columns.values()[0]
    query = select(name.label("name"), table.c.key_encryption_key.label("number"), table.c.wrapped)
    query = query.where(table.c.wrapped.is_not(None))
    if after is not None:
        query = query.where(name > after)
    return connection.execute(query.order_by(name).limit(limit)).all()


def count_live(connection: Connection) -> int:
    """Count the live keys."""
    return sum(
        connection.scalar(select(func.count()).select_from(table).where(table.c.wrapped.is_not(None))) or 0
        for table in LIVE
    )


def key_seen(connection: Connection, number: int) -> datetime | None:
    """Return when a key-encryption key was first seen here; None if it was not."""
    query = select(key_encryption_key.c.seen_at).where(key_encryption_key.c.number == number)
    seen: datetime | None = connection.scalar(query)
    return seen


def note_key(connection: Connection, number: int, now: datetime) -> None:
    """Record that a key-encryption key is in use."""
    insert_new(connection, key_encryption_key, [{"number": number, "seen_at": now}])


def note_destroyed(connection: Connection, before: int, now: datetime) -> None:
    """Record that the key-encryption keys before that number are destroyed."""
    older = (key_encryption_key.c.number < before, key_encryption_key.c.destroyed_at.is_(None))
    connection.execute(update(key_encryption_key).where(*older).values(destroyed_at=now))


def erased_under(connection: Connection, oldest: int) -> bool:
    """Tell whether a survivor was erased whose keys a key-encryption key of that number or later has wrapped."""
    gone = (audit_key.c.wrapped.is_(None), audit_key.c.key_encryption_key >= oldest)
    return bool(connection.scalar(select(exists().where(*gone))))


def unwrapped(
    connection: Connection, keys: KeyEncryptionKeys, table: Table, names: Sequence[UUID]
) -> dict[UUID, bytes | None]:
    """Return secrets by owner. A key that does not open is read once more: a rotation may have come in between."""
    found = _read_and_unwrap(connection, keys, table, names)
    again = [name for name, secret in found.items() if secret == LOST]
    return found | _read_and_unwrap(connection, keys, table, again)


def _read_and_unwrap(
    connection: Connection, keys: KeyEncryptionKeys, table: Table, names: Sequence[UUID]
) -> dict[UUID, bytes | None]:
    if not names:
        return {}
    rows = connection.execute(_READ[table.name], {"names": listed(names)})
    return {row[0]: _unwrap(keys, row[1], row[2]) for row in rows}


def _unwrap(keys: KeyEncryptionKeys, number: int, wrapped: bytes | None) -> bytes | None:
    try:
        return keys.unwrap(number, wrapped) if wrapped else None
    except KeyGone:
        return LOST
