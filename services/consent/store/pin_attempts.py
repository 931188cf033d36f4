"""Queries on the turns in which sessions try a PIN: how often it was tried, by which lanes, and who waits."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, and_, case, delete, select, update

from services.common.database.inserts import insert_new
from services.consent.models import pin_lane_use, pin_turn, session


def turns_of(connection: Connection, subject_id: UUID, now: datetime) -> Row[tuple[Any, ...]]:
    """Return how often her PIN was tried since it was last right, and when; the first time, begin the count."""
    insert_new(connection, pin_turn, [{"subject_id": subject_id, "tries": 0, "tried_at": now}])
    return connection.execute(select(pin_turn).where(pin_turn.c.subject_id == subject_id)).one()


def wait(connection: Connection, digest: bytes, lane: int, now: datetime, since: datetime) -> None:
    """Let a session wait for a turn in a lane. If it was last heard of before `since`, it begins to wait anew."""
    first = case((session.c.pin_heard_at > since, session.c.pin_asked_at), else_=now)
    asking = update(session).where(session.c.digest == digest)
    connection.execute(asking.values(pin_lane=lane, pin_asked_at=first, pin_heard_at=now))


def waiting(connection: Connection, subject_id: UUID, since: datetime) -> Sequence[Any]:
    """Return the sessions of hers that have waited for a turn since then, with the last use of their lanes (None: never)."""
    lane = and_(pin_lane_use.c.subject_id == session.c.subject_id, pin_lane_use.c.lane == session.c.pin_lane)
    columns = (session.c.digest, session.c.pin_tries, session.c.pin_asked_at, pin_lane_use.c.used_at)
    query = select(*columns).select_from(session.outerjoin(pin_lane_use, lane))
    found = query.where(session.c.subject_id == subject_id, session.c.pin_heard_at > since)
    rows: Sequence[Any] = connection.execute(found).all()
    return rows


def take_turn(connection: Connection, subject_id: UUID, digest: bytes, lane: int, now: datetime) -> None:
    """Count one more try, by a session of hers in a lane; it does not wait any longer."""
    counted = update(pin_turn).where(pin_turn.c.subject_id == subject_id)
    connection.execute(counted.values(tries=pin_turn.c.tries + 1, tried_at=now))
    insert_new(connection, pin_lane_use, [{"subject_id": subject_id, "lane": lane, "used_at": now}])
    used = update(pin_lane_use).where(pin_lane_use.c.subject_id == subject_id, pin_lane_use.c.lane == lane)
    connection.execute(used.values(used_at=now))
    _wait_no_more(connection, session.c.digest == digest)


def forget(connection: Connection, subject_id: UUID) -> None:
    """Reset the count and forget who used or awaits a turn."""
    for table in (pin_turn, pin_lane_use):
        connection.execute(delete(table).where(table.c.subject_id == subject_id))
    _wait_no_more(connection, session.c.subject_id == subject_id)


def _wait_no_more(connection: Connection, whose: Any) -> None:
    connection.execute(update(session).where(whose).values(pin_lane=None, pin_asked_at=None, pin_heard_at=None))
