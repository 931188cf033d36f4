"""Queries on pending grants, which wait for a second look."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, select, update

from services.consent.models import waiting_grant

AnyRow = Row[tuple[Any, ...]]


def add_wait(connection: Connection, row: Mapping[str, object]) -> None:
    """Add a pending grant."""
    connection.execute(waiting_grant.insert(), dict(row))


def get_wait(connection: Connection, name: UUID, second_look_by: str, now: datetime) -> AnyRow | None:
    """Return the open pending grant with this id that waits for this agency."""
    mine = (waiting_grant.c.id == name, waiting_grant.c.second_look_by == second_look_by)
    return connection.execute(select(waiting_grant).where(*mine, *_open(now))).one_or_none()


def waits_for(connection: Connection, second_look_by: str, now: datetime) -> Sequence[AnyRow]:
    """Return all open pending grants that wait for an agency, oldest first."""
    query = select(waiting_grant).where(waiting_grant.c.second_look_by == second_look_by, *_open(now))
    return connection.execute(query.order_by(waiting_grant.c.id)).all()


def waits_of(connection: Connection, subject_id: UUID, *, past: bool = False) -> Sequence[AnyRow]:
    """Return a survivor's pending grants, newest first; with `past`, also those that have ended."""
    query = select(waiting_grant).where(waiting_grant.c.subject_id == subject_id)
    if not past:
        query = query.where(waiting_grant.c.ended_at.is_(None))
    return connection.execute(query.order_by(waiting_grant.c.id.desc())).all()


def end_waits(
    connection: Connection, subject_id: UUID, outcome: str, now: datetime, *only: ColumnElement[bool]
) -> Sequence[AnyRow]:
    """End a survivor's pending grants, all or those that match; return them."""
    mine = (waiting_grant.c.subject_id == subject_id, waiting_grant.c.ended_at.is_(None), *only)
    statement = update(waiting_grant).where(*mine).values(ended_at=now, outcome=outcome)
    return connection.execute(statement.returning(waiting_grant)).all()


def named(name: UUID) -> ColumnElement[bool]:
    """Match the pending grant with this id."""
    return waiting_grant.c.id == name


def to(agency: str) -> ColumnElement[bool]:
    """Match pending grants to this agency."""
    return waiting_grant.c.agency == agency


def _open(now: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return waiting_grant.c.ended_at.is_(None), waiting_grant.c.open_until > now
