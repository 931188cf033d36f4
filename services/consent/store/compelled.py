"""Queries on what agencies recorded of disclosures that a law compelled."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select, update

from services.consent.models import compelled

AnyRow = Row[tuple[Any, ...]]


def add_record(connection: Connection, row: Mapping[str, object]) -> None:
    """Add a record."""
    connection.execute(compelled.insert(), dict(row))


def same_record(connection: Connection, agency: str, sha256: str) -> UUID | None:
    """Return the id of an equal record of this agency; None if there is none."""
    mine = (compelled.c.agency == agency, compelled.c.sha256 == sha256)
    return connection.scalar(select(compelled.c.id).where(*mine))


def count_since(connection: Connection, agency: str, subject_id: UUID, since: datetime) -> int:
    """Return how many records an agency has made about a survivor since then."""
    hers = (compelled.c.agency == agency, compelled.c.subject_id == subject_id, compelled.c.recorded_at > since)
    return connection.scalar(select(func.count()).select_from(compelled).where(*hers)) or 0


def records_about(connection: Connection, subject_id: UUID) -> Sequence[AnyRow]:
    """Return every record about a survivor, newest first."""
    query = select(compelled).where(compelled.c.subject_id == subject_id)
    return connection.execute(query.order_by(compelled.c.id.desc())).all()


def unseal(connection: Connection, now: datetime, limit: int) -> Sequence[AnyRow]:
    """Mark as shown the records whose sealing has ended by now; return them."""
    due = (compelled.c.sealed_until <= now, compelled.c.unsealed_at.is_(None))
    some = select(compelled.c.id).where(*due).limit(limit)
    statement = update(compelled).where(compelled.c.id.in_(some), *due).values(unsealed_at=now)
    return connection.execute(statement.returning(compelled)).all()
