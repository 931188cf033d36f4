"""Queries on passkeys."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, delete, select, update

from services.common.database.inserts import insert_new
from services.consent.models import passkey, subject

AnyRow = Row[tuple[Any, ...]]


def add_key(connection: Connection, row: Mapping[str, object]) -> bool:
    """Add a key; tell whether its id is new."""
    return bool(insert_new(connection, passkey, [row], "id"))


def get_key(connection: Connection, key_id: bytes) -> AnyRow | None:
    """Return a key, unless its survivor is erased."""
    query = select(passkey).join(subject).where(passkey.c.id == key_id, subject.c.state != "erased")
    return connection.execute(query).one_or_none()


def keys_of(connection: Connection, subject_id: UUID) -> Sequence[AnyRow]:
    """Return a survivor's keys, oldest first."""
    query = select(passkey).where(passkey.c.subject_id == subject_id)
    return connection.execute(query.order_by(passkey.c.added_at, passkey.c.id)).all()


def use_key(connection: Connection, key_id: bytes, sign_count: int, now: datetime) -> bool:
    """Record that a key was used; tell whether it still exists."""
    using = update(passkey).where(passkey.c.id == key_id)
    return connection.execute(using.values(sign_count=sign_count, used_at=now)).rowcount == 1


def remove_key(connection: Connection, subject_id: UUID, key_id: bytes) -> bool:
    """Remove one of a survivor's keys; tell whether it was hers."""
    mine = (passkey.c.id == key_id, passkey.c.subject_id == subject_id)
    return connection.execute(delete(passkey).where(*mine)).rowcount == 1
