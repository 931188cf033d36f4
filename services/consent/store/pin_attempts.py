"""Queries on how often a PIN was tried."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, delete, or_, update

from services.common.database.inserts import insert_new
from services.consent.models import pin_turn


def take_turn(connection: Connection, subject_id: UUID, now: datetime, free: int, step: timedelta) -> bool:
    """Count one more try if it is allowed now; tell whether it was."""
    insert_new(connection, pin_turn, [{"subject_id": subject_id, "tries": 0, "tried_at": now}])
    may = or_(pin_turn.c.tries < free, pin_turn.c.tried_at <= now - step)
    counted = update(pin_turn).where(pin_turn.c.subject_id == subject_id, may)
    return connection.execute(counted.values(tries=pin_turn.c.tries + 1, tried_at=now)).rowcount == 1


def forget(connection: Connection, subject_id: UUID) -> None:
    """Reset the count."""
    connection.execute(delete(pin_turn).where(pin_turn.c.subject_id == subject_id))
