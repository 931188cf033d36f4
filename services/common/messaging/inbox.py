"""The inbox: it remembers the events that a service has taken, so that a repeated event has its effect once."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Column, Connection, MetaData, String, Table, delete

from services.common.database.column_types import Instant
from services.common.database.inserts import insert_new
from services.common.messaging.cloudevents import Event


def define_inbox(metadata: MetaData) -> Table:
    """Define the inbox table of one service; its key identifies a CloudEvent by `source` and `id`."""
    return Table(
        "inbox",
        metadata,
        Column("source", String(128), primary_key=True),
        Column("id", String(128), primary_key=True),
        Column("seen_at", Instant, nullable=False, index=True),
    )


class Inbox:
    """Separates new events from repeated ones, in the transaction that handles them."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def take(self, connection: Connection, events: Sequence[Event], now: datetime) -> list[Event]:
        """Return the events that were never taken before, in order; they count as taken once the transaction commits."""
        distinct = {(event.source, event.id): event for event in reversed(events)}
        rows = [{"source": source, "id": id_, "seen_at": now} for source, id_ in sorted(distinct)]
        new = set(insert_new(connection, self.table, rows, "source", "id"))
        return [
            event for event in events if (event.source, event.id) in new and distinct[event.source, event.id] is event
        ]

    def forget(self, connection: Connection, before: datetime) -> None:
        """Delete the rows seen before a time; it must be longer ago than any topic keeps records."""
        connection.execute(delete(self.table).where(self.table.c.seen_at < before))
