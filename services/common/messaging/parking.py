"""Events that could not be handled wait here with every later event of their key, until a person lets them go on."""

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
LOCK = 0x7061726B  # "park", apart from other uses of advisory locks


def define_parking(metadata: MetaData) -> Table:
    """The parked events of one service. What is parked is as sealed as it was on the bus."""
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
    """One parked key: what stopped it, how many events wait behind, since when."""

    topic: str
    key: str
    reason: str
    events: int
    since: datetime


class Parking:
    """Sets keys aside and lets them go on.

    A retry topic or a dead-letter topic would let later events of the key overtake the failed one; parking the key keeps
    their order.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self._any = select(table.c.id).limit(1)
        self._among = select(table.c.topic, table.c.key).where(one_of(table.c.key, "keys"))

    def keys(self, connection: Connection, keys: Sequence[str]) -> set[tuple[str, str]]:
        """Which of these keys are parked, each with its topic: there is no order to keep between topics.

        An agency's id is a key of two. What one of its declarations is stopped by must not keep its suspension.
        """
        # Hardly ever is anything parked, and to send all keys takes longer than to ask that first.
        if connection.scalar(self._any) is None:
            return set()
        # Whoever releases waits for this transaction, and so finds what it puts behind.
        lock_until_commit(connection, LOCK, shared=True)
        return {(row.topic, row.key) for row in connection.execute(self._among, {"keys": listed(keys)})}

    def park(self, connection: Connection, received: Received, reason: str, now: datetime) -> None:
        """Set one event aside, once however often it comes; `reason` is an error's class or `behind`, never a message."""
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
        """Every parked key, longest parked first."""
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
        """The parked events of one key, oldest first, with their row ids; nobody is about to put another behind them."""
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
        """Forget one parked event, in the transaction that has handled it."""
        connection.execute(delete(self.table).where(self.table.c.id == row))
