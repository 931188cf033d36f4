"""The ledger's entries: every grant, revocation, opening and refusal, recorded in the transaction of the act.

Recording takes no lock that others wait for: the tree adds an entry a moment after its commit (`handlers/ledger/publish`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, text, update

from services.common.database.engine import Database
from services.common.database.inserts import insert_new
from services.consent.key_encryption import KeyEncryptionKeys
from services.consent.ledger.commitments import Halves, Record, instant, opened_record, public_leaf, sealed_record
from services.consent.models import ledger_entry, ledger_head
from services.consent.store import keys as key_store

ERASED = "erased"
"""Kind of the last entry about a survivor: with it, the key that reads the others and their link to her are destroyed."""
# The databases have no greater position; a caller who names one gets everything.
_LAST = 2**63 - 1
_KEYS = "fireweed_ledger_keys"
_ADD_ALL = ledger_entry.insert()
_ADD_ONE = ledger_entry.insert().returning(ledger_entry.c.position)
_NEXT = text("SELECT nextval(pg_get_serial_sequence('ledger_entry', 'position')) FROM generate_series(1, :count)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: what happened, about whom, by or for which agency. `detail` holds codes and ids only."""

    kind: str
    subject: UUID | None
    agency: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordedEntry:
    """An entry as its survivor reads it. With the salt, anybody she shows it to can check it against the public leaf."""

    position: int
    leaf_index: int | None
    at: datetime
    kind: str
    agency: str | None
    detail: Mapping[str, Any]
    salt: bytes

    @property
    def record(self) -> Record:
        """The record that the leaf commits to."""
        return Record(instant(self.at), self.kind, self.agency, self.detail)


def seal_with(database: Database, keys: KeyEncryptionKeys) -> None:
    """Set the key-encryption keys for this database's entries; called once."""
    database.engine.update_execution_options(**{_KEYS: keys})


def append(connection: Connection, entries: Sequence[Entry], now: datetime) -> int:
    """Record entries in the caller's transaction; return the position of the first, which the others follow."""
    secrets = _secrets(connection, entries)
    rows = []
    for entry in entries:
        secret = secrets.get(entry.subject) if entry.subject else None
        halves = _halves(Record(instant(now), entry.kind, entry.agency, dict(entry.detail)), entry.subject, secret)
        known = None if secret is None else entry.subject  # Nothing links an entry to an erased survivor.
        rows.append({"at": now, "kind": entry.kind, "subject_id": known, "leaf": halves.leaf, "sealed": halves.sealed})
    first = _insert(connection, rows)
    for entry in entries:
        if entry.kind == ERASED and entry.subject:
            _forget(connection, entry.subject, now)
    return first


def begin(connection: Connection) -> None:
    """Make the empty tree, once."""
    insert_new(connection, ledger_head, [{"id": 1, "size": 0, "edge": b""}])


def begin_anew(connection: Connection, subject: UUID) -> None:
    """Give up what her lost ledger key sealed: those entries stay, and tell what happened but not with whom."""
    key_store.replace_audit_key(connection, _keys(connection), subject)
    connection.execute(update(ledger_entry).where(ledger_entry.c.subject_id == subject).values(sealed=None))


def about(
    connection: Connection, subject: UUID, before: int | None, limit: int, kinds: Sequence[str] | None = None
) -> Sequence[RecordedEntry]:
    """Return a survivor's entries, newest first, from just before a position; with `kinds`, only those."""
    query = select(ledger_entry).where(ledger_entry.c.subject_id == subject)
    if before is not None:
        query = query.where(ledger_entry.c.position < max(0, min(before, _LAST)))
    if kinds is not None:
        query = query.where(ledger_entry.c.kind.in_(kinds))
    rows = connection.execute(query.order_by(ledger_entry.c.position.desc()).limit(limit)).all()
    secret = key_store.audit_secrets(connection, _keys(connection), [subject]).get(subject)
    return [_read_entry(row, secret) for row in rows]


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> int:
    if len(rows) == 1:
        return int(connection.execute(_ADD_ONE, rows[0]).scalar_one())
    if connection.dialect.name == "postgresql":
        for row, position in zip(rows, _neighbours(connection, len(rows)), strict=True):
            row["position"] = position
        connection.execute(_ADD_ALL, rows)
        return int(rows[0]["position"])
    # SQLite has one writer, so no other rows come between these.
    positions: list[int] = list(connection.scalars(_ADD_ALL.returning(ledger_entry.c.position), rows))
    return min(positions)


def _neighbours(connection: Connection, count: int) -> list[int]:
    """Draw consecutive positions; draw again if other transactions took some in between, since gaps do no harm."""
    while True:
        drawn = list(connection.scalars(_NEXT, {"count": count}))
        if drawn[-1] - drawn[0] == count - 1:
            return drawn


def _read_entry(row: Any, secret: bytes | None) -> RecordedEntry:
    if not secret or not row.sealed:
        return RecordedEntry(row.position, row.leaf_index, row.at, row.kind, None, {}, b"")
    record, salt = opened_record(Halves(row.leaf, row.sealed), secret)
    return RecordedEntry(row.position, row.leaf_index, row.at, record.kind, record.agency, record.detail, salt)


def _secrets(connection: Connection, entries: Sequence[Entry]) -> Mapping[UUID, bytes | None]:
    subjects = sorted({entry.subject for entry in entries if entry.subject} - {key_store.NOBODY})
    known = dict(key_store.audit_secrets(connection, _keys(connection), subjects))
    missing = [subject for subject in subjects if subject not in known]
    if missing:
        key_store.make_audit_keys(connection, _keys(connection), missing)
        known |= key_store.audit_secrets(connection, _keys(connection), missing)
    return known


def _halves(record: Record, subject: UUID | None, secret: bytes | None) -> Halves:
    # Without a key the entry is stored all the same, and nobody can read it: revoking must never wait for a key.
    return sealed_record(record, secret or None) if subject else Halves(public_leaf(record), None)


def _forget(connection: Connection, subject: UUID, now: datetime) -> None:
    key_store.destroy_audit_key(connection, _keys(connection), subject, now)
    # After locking the tree's head, in the order of `integrate`: otherwise the two could deadlock.
    connection.execute(select(ledger_head.c.id).with_for_update())
    mine = update(ledger_entry).where(ledger_entry.c.subject_id == subject)
    connection.execute(mine.values(subject_id=None, sealed=None))


def _keys(connection: Connection) -> KeyEncryptionKeys:
    keys: KeyEncryptionKeys = connection.get_execution_options()[_KEYS]
    return keys
