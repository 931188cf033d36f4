"""Queries on what waits for a second look before it becomes a grant."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, select, update

from services.consent.models import waiting_grant

AnyRow = Row[tuple[Any, ...]]


def add_wait(connection: Connection, row: Mapping[str, object]) -> None:
    """Something that waits from now on."""
    connection.execute(waiting_grant.insert(), dict(row))


def get_wait(connection: Connection, name: UUID, looks: str, now: datetime) -> AnyRow | None:
    """What waits for an agency's look under this name."""
    mine = (waiting_grant.c.id == name, waiting_grant.c.second_look_by == looks)
    return connection.execute(select(waiting_grant).where(*mine, *_open(now))).one_or_none()


def waits_for(connection: Connection, looks: str, now: datetime) -> Sequence[AnyRow]:
    """Everything that waits for an agency's look, oldest first."""
    query = select(waiting_grant).where(waiting_grant.c.second_look_by == looks, *_open(now))
    return connection.execute(query.order_by(waiting_grant.c.id)).all()


def waits_of(connection: Connection, subject_id: UUID, *, past: bool = False) -> Sequence[AnyRow]:
    """What of a survivor's waits, newest first; with `past`, also what was looked at, taken back or let pass."""
    query = select(waiting_grant).where(waiting_grant.c.subject_id == subject_id)
    if not past:
        query = query.where(waiting_grant.c.ended_at.is_(None))
    return connection.execute(query.order_by(waiting_grant.c.id.desc())).all()


def end_waits(
    connection: Connection, subject_id: UUID, outcome: str, now: datetime, *only: ColumnElement[bool]
) -> Sequence[AnyRow]:
    """End a survivor's waiting, or what of it is meant; what ended."""
    mine = (waiting_grant.c.subject_id == subject_id, waiting_grant.c.ended_at.is_(None), *only)
    statement = update(waiting_grant).where(*mine).values(ended_at=now, outcome=outcome)
    return connection.execute(statement.returning(waiting_grant)).all()


def named(name: UUID) -> ColumnElement[bool]:
    """Only the one of this name."""
    return waiting_grant.c.id == name


def to(agency: str) -> ColumnElement[bool]:
    """Only what would be allowed to this agency."""
    return waiting_grant.c.agency == agency


def _open(now: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return waiting_grant.c.ended_at.is_(None), waiting_grant.c.open_until > now
