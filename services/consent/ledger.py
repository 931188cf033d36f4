"""The ledger: every grant, revocation, opening and refusal, appended in the transaction of the act it records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select, update

from services.common.database import insert_new
from services.consent.models import ledger_entry, ledger_head

# The databases have no place for a greater position; who asks for what lies before one asks for everything.
_LAST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: what happened, about whom, by or for which agency. `detail` holds codes and ids only."""

    kind: str
    subject: UUID | None
    agency: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


def append(connection: Connection, entries: Sequence[Entry], now: datetime) -> int:
    """Append entries in order, without a gap; return the position of the first.

    The head's row lock is held until the caller commits, so call this last: everybody who records waits for it.
    """
    grown = update(ledger_head).where(ledger_head.c.id == 1).values(size=ledger_head.c.size + len(entries))
    first = int(connection.execute(grown.returning(ledger_head.c.size)).scalar_one()) - len(entries)
    rows = [
        {
            "position": first + number,
            "at": now,
            "kind": entry.kind,
            "subject_id": entry.subject,
            "agency": entry.agency,
            "detail": dict(entry.detail),
        }
        for number, entry in enumerate(entries)
    ]
    connection.execute(ledger_entry.insert(), rows)
    return first


def begin(connection: Connection) -> None:
    """Make the empty ledger, once."""
    insert_new(connection, ledger_head, [{"id": 1, "size": 0}])


def about(connection: Connection, subject: UUID, before: int | None, limit: int) -> Sequence[Row[tuple[Any, ...]]]:
    """A survivor's entries, newest first, from just before a position."""
    query = select(ledger_entry).where(ledger_entry.c.subject_id == subject)
    if before is not None:
        query = query.where(ledger_entry.c.position < max(0, min(before, _LAST)))
    return connection.execute(query.order_by(ledger_entry.c.position.desc()).limit(limit)).all()
