"""Parked events: an event that could not be handled waits with every later event of its key until a person releases it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    select,
)

from services.common.database.advisory_locks import lock_until_commit
from services.common.database.column_types import BigId, Instant
from services.common.database.inserts import insert_new
from services.common.database.list_parameters import listed, one_of
from services.common.messaging.broker import Received, Record

BEHIND = "behind"
LOCK = 0x7061726B  # "park"; it differs from the keys of other advisory locks


def define_parking(metadata: MetaData) -> Table:
    """Define the table of one service's parked events. They stay sealed, as they were on the bus."""
    return Table(
        "parked",
        metadata,
        Column("id", BigId, primary_key=True, autoincrement=True),
        Column("topic", String(64), nullable=False),
        Column("key", String(64), nullable=False, index=True),
        Column("partition", Integer, nullable=False),
        Column("offset", BigId, nullable=False),
        Column("headers", Text, nullable=False),
        Column("value", LargeBinary),
        Column("reason", String(64), nullable=False),
        Column("parked_at", Instant, nullable=False),
        UniqueConstraint("topic", "partition", "offset"),
    )


@dataclass(frozen=True, slots=True)
class Summary:
    """One parked key: the reason, the number of its events, and since when it is parked."""

    topic: str
    key: str
    reason: str
    events: int
    since: datetime


class Parking:
    """Parks keys and releases them.

    A retry topic or a dead-letter topic would let later events of the key overtake the failed one; parking the key keeps
    their order.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self._any = select(table.c.id).limit(1)
        self._among = select(table.c.topic, table.c.key).where(one_of(table.c.key, "keys"))

    def keys(self, connection: Connection, keys: Sequence[str]) -> set[tuple[str, str]]:
        """Return topic and key of those keys that are parked; order is kept within a topic, not between topics.

        An agency's id is a key in two topics: a parked declaration must not hold back its suspension.
        """
        # Parked events are rare, and sending all keys takes longer than this first query.
        if connection.scalar(self._any) is None:
            return set()
        # A release waits for this transaction, and so finds the events that it parks.
        lock_until_commit(connection, LOCK, shared=True)
        return {(row.topic, row.key) for row in connection.execute(self._among, {"keys": listed(keys)})}

    def park(self, connection: Connection, received: Received, reason: str, now: datetime) -> None:
        """Park one event, once even if it comes again; `reason` is an error's class or `behind`, never a message."""
        record = received.record
        row = {
            "topic": record.topic,
            "key": record.key,
            "partition": received.partition,
            "offset": received.offset,
            "headers": json.dumps(dict(record.headers)),
            "value": record.value,
            "reason": reason,
            "parked_at": now,
        }
        insert_new(connection, self.table, [row])

    def summary(self, connection: Connection) -> list[Summary]:
        """Return a summary of every parked key, longest parked first."""
        parked = self.table.c
        query = (
            select(
                parked.topic,
                parked.key,
                func.max(parked.reason).filter(parked.reason != BEHIND).label("reason"),
                func.count().label("events"),
                func.min(parked.parked_at).label("since"),
            )
            .group_by(parked.topic, parked.key)
            .order_by(func.min(parked.id))
        )
        return [
            Summary(row.topic, row.key, row.reason or BEHIND, row.events, row.since)
            for row in connection.execute(query)
        ]

    def of_key(self, connection: Connection, key: str) -> list[tuple[int, Received]]:
        """Return row id and event of one key's parked events, oldest first; no other transaction is about to park more."""
        lock_until_commit(connection, LOCK)
        query = select(self.table).where(self.table.c.key == key).order_by(self.table.c.id)
        return [
            (
                row.id,
                Received(Record(row.topic, row.key, json.loads(row.headers), row.value), row.partition, row.offset),
            )
            for row in connection.execute(query)
        ]

    def release(self, connection: Connection, row: int) -> None:
        """Delete one parked event, in the transaction that has handled it."""
        connection.execute(delete(self.table).where(self.table.c.id == row))
