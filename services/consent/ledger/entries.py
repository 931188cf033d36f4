"""The ledger's entries: every grant, revocation, opening and refusal, recorded in the transaction of the act.

Recording takes no lock that others wait for: the tree adds an act a moment after its commit (`handlers/ledger/publish`).
What one act records about a survivor is one public leaf, so that the tree does not tell how many permissions it ended.
An act that an agency repeats is counted on its first entry (`repeats`); only its own repeats wait for each other there.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, select, text, update

from services.common.database.engine import Database
from services.common.database.inserts import insert_new
from services.consent.key_encryption import KeyEncryptionKeys
from services.consent.ledger import repeats
from services.consent.ledger.commitments import (
    Halves,
    Record,
    act_leaf,
    instant,
    opened_record,
    public_leaf,
    sealed_record,
)
from services.consent.models import ledger_entry, ledger_head, ledger_repeat
from services.consent.store import keys as key_store
from services.consent.store import ledger_repeats as repeat_store

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
    times: int = 1
    last_at: datetime | None = None
    """When the act happened last, if it was repeated."""
    act: int | None = None
    """Joins the entries that share one public leaf; None if this one has a leaf of its own."""

    @property
    def record(self) -> Record:
        """The record that the leaf commits to."""
        return Record(instant(self.at), self.kind, self.agency, self.detail)


def seal_with(database: Database, keys: KeyEncryptionKeys) -> None:
    """Set the key-encryption keys for this database's entries; called once."""
    database.engine.update_execution_options(**{_KEYS: keys})


def append(connection: Connection, entries: Sequence[Entry], now: datetime) -> list[int]:
    """Record entries in the caller's transaction; return their positions, of a repeat that of the entry it is counted on.

    Those that are no repeats get positions that follow each other.
    """
    secrets = _secrets(connection, entries)
    runs = [repeats.run_of(entry.kind, entry.agency, entry.detail, _secret(secrets, entry)) for entry in entries]
    old = _repeated(connection, entries, secrets, runs, now)
    begun: dict[str | None, int] = {}
    for place, run in enumerate(runs):
        if place not in old and entries[place].kind != repeats.INTENDED:
            begun.setdefault(run, place)
    new = [
        place for place, run in enumerate(runs) if place not in old and (run is None or begun.get(run, place) == place)
    ]
    at = dict(
        zip(
            new,
            _insert(connection, _acts([_row(entries[place], secrets, runs[place], now) for place in new])),
            strict=True,
        )
    )
    positions = [old.get(place) or at.get(place) or at[begun[run]] for place, run in enumerate(runs)]
    _count(connection, {place: position for place, position in enumerate(positions) if place not in at}, entries, now)
    for entry in entries:
        if entry.kind == ERASED and entry.subject:
            _forget(connection, entry.subject, now)
    return positions


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
    counted = ledger_entry.outerjoin(ledger_repeat, ledger_repeat.c.position == ledger_entry.c.position)
    query = select(ledger_entry, ledger_repeat.c.times, ledger_repeat.c.last_at).select_from(counted)
    query = query.where(ledger_entry.c.subject_id == subject)
    if before is not None:
        query = query.where(ledger_entry.c.position < max(0, min(before, _LAST)))
    if kinds is not None:
        query = query.where(ledger_entry.c.kind.in_(kinds))
    rows = connection.execute(query.order_by(ledger_entry.c.position.desc()).limit(limit)).all()
    secret = key_store.audit_secrets(connection, _keys(connection), [subject]).get(subject)
    return [_read_entry(row, secret) for row in rows]


def _repeated(
    connection: Connection,
    entries: Sequence[Entry],
    secrets: Mapping[UUID, bytes | None],
    runs: Sequence[str | None],
    now: datetime,
) -> dict[int, int]:
    """Return the positions of the entries on which entries are counted, by their places in the list.

    An intent is counted only if an outcome of the earlier one is recorded: one without an outcome must stay seen as such.
    """
    outcomes = {
        place: repeats.outcomes_of(entry.agency, entry.detail, _secret(secrets, entry))
        for place, entry in enumerate(entries)
        if entry.kind == repeats.INTENDED
    }
    wanted = [run for run in runs if run] + [name for names in outcomes.values() for name in names]
    known = repeat_store.firsts(connection, wanted, now)
    return {
        place: known[run]
        for place, run in enumerate(runs)
        if run in known and (place not in outcomes or not known.keys().isdisjoint(outcomes[place]))
    }


def _count(connection: Connection, repeated: Mapping[int, int], entries: Sequence[Entry], now: datetime) -> None:
    """Count repeats on the entries at their positions; append an entry where the count has reached a power of ten."""
    reached = repeat_store.count(connection, Counter(repeated.values()), now)
    if not reached:
        return
    last = {position: entries[place] for place, position in repeated.items()}
    told = [replace(last[place], detail={**last[place].detail, "times": times}) for place, times in reached.items()]
    secrets = _secrets(connection, told)
    _insert(connection, _acts([_row(entry, secrets, None, now) for entry in told]))


def _row(entry: Entry, secrets: Mapping[UUID, bytes | None], run: str | None, now: datetime) -> dict[str, Any]:
    secret = _secret(secrets, entry)
    halves = _halves(Record(instant(now), entry.kind, entry.agency, dict(entry.detail)), entry.subject, secret)
    known = None if secret is None else entry.subject  # Nothing links an entry to an erased survivor.
    row = {"at": now, "kind": entry.kind, "subject_id": known, "leaf": halves.leaf, "sealed": halves.sealed}
    return {**row, "run": run, "about": entry.subject}


def _acts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give the rows about each survivor one public leaf, which the first of them holds."""
    about: dict[UUID | None, list[dict[str, Any]]] = {}
    for row in rows:
        about.setdefault(row.pop("about"), []).append(row)
    for subject, theirs in about.items():
        if subject is None:
            for row in theirs:
                row |= {"tree_leaf": row["leaf"], "act": None}
            continue
        act = int.from_bytes(os.urandom(7)) if len(theirs) > 1 else None
        for row in theirs:
            row |= {"tree_leaf": None, "act": act}
        theirs[0]["tree_leaf"] = act_leaf([row["leaf"] for row in theirs])
    return rows


def _secret(secrets: Mapping[UUID, bytes | None], entry: Entry) -> bytes | None:
    return secrets.get(entry.subject) if entry.subject else None


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> list[int]:
    """Insert rows; return their positions, which follow each other."""
    if len(rows) <= 1:
        return [int(connection.execute(_ADD_ONE, row).scalar_one()) for row in rows]
    if connection.dialect.name == "postgresql":
        drawn = _neighbours(connection, len(rows))
        for row, position in zip(rows, drawn, strict=True):
            row["position"] = position
        connection.execute(_ADD_ALL, rows)
        return drawn
    # SQLite has one writer, so no other rows come between these.
    first = min(connection.scalars(_ADD_ALL.returning(ledger_entry.c.position), rows))
    return list(range(first, first + len(rows)))


def _neighbours(connection: Connection, count: int) -> list[int]:
    """Draw consecutive positions; draw again if other transactions took some in between, since gaps do no harm."""
    while True:
        drawn = list(connection.scalars(_NEXT, {"count": count}))
        if drawn[-1] - drawn[0] == count - 1:
            return drawn


def _read_entry(row: Any, secret: bytes | None) -> RecordedEntry:
    counted = (row.times or 1, row.last_at, row.act)
    if not secret or not row.sealed:
        return RecordedEntry(row.position, row.leaf_index, row.at, row.kind, None, {}, b"", *counted)
    record, salt = opened_record(Halves(row.leaf, row.sealed), secret)
    told = (record.kind, record.agency, record.detail)
    return RecordedEntry(row.position, row.leaf_index, row.at, *told, salt, *counted)


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
    repeat_store.forget(connection, subject)
    hers = ledger_entry.c.subject_id == subject
    # Nobody can read them any more; those with a public leaf stay, since the tree needs it.
    connection.execute(delete(ledger_entry).where(hers, ledger_entry.c.tree_leaf.is_(None)))
    connection.execute(update(ledger_entry).where(hers).values(subject_id=None, sealed=None, run=None, act=None))


def _keys(connection: Connection) -> KeyEncryptionKeys:
    keys: KeyEncryptionKeys = connection.get_execution_options()[_KEYS]
    return keys
