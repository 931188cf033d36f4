"""The outbox: events wait here, committed together with the change they report, until the relay has sent them.

Column names follow Debezium's outbox event router, so change data capture can replace the relay one day. Rows are
inserted and deleted, never updated (https://debezium.io/documentation/reference/transformations/outbox-event-router).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from pydantic_core import to_json
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    bindparam,
    delete,
    func,
    select,
)

from services.common import telemetry
from services.common.database.column_types import BigId, Instant
from services.common.database.inserts import insert_all
from services.common.database.list_parameters import listed, one_of
from services.common.messaging import contracts
from services.common.messaging.cloudevents import Event, to_headers, to_value

CHANNEL = "outbox"
"""The channel on which PostgreSQL notifies the relay of new rows."""


def define_outbox(metadata: MetaData) -> Table:
    """Define the outbox table of one service. `id` is assigned in order, so rows of an aggregate leave in commit order."""
    return Table(
        "outbox",
        metadata,
        Column("id", BigId, primary_key=True, autoincrement=True),
        Column("aggregatetype", String(64), nullable=False),
        Column("aggregateid", String(64), nullable=False),
        Column("type", String(64), nullable=False),
        Column("payload", LargeBinary, nullable=False),
        Column("headers", Text, nullable=False),
        Column("created_at", Instant, nullable=False),
    )


class Waiting(NamedTuple):
    """The columns of one row that the relay needs."""

    id: int
    topic: str
    key: str
    type: str
    headers: str
    payload: bytes


class Outbox:
    """Writes and removes the rows of one service's outbox."""

    def __init__(self, table: Table) -> None:
        self.table = table
        # The relay runs this query many times a second, so it is built once.
        columns = [table.c[name] for name in ("id", "aggregatetype", "aggregateid", "type", "headers", "payload")]
        ahead = select(*columns).where(table.c.id > bindparam("after"))
        self._oldest = ahead.order_by(table.c.id).limit(bindparam("limit", type_=Integer))
        self._remove = delete(table).where(one_of(table.c.id, "ids"))

    def add(self, connection: Connection, events: Sequence[Event], now: datetime) -> None:
        """Queue events in order; the relay sends them once the caller's transaction has committed."""
        if events:
            carried = telemetry.outgoing_context()
            rows = [_row(event, carried, now) for event in events]
            insert_all(connection, self.table, rows)

    def oldest(self, connection: Connection, after: int, limit: int) -> Sequence[Waiting]:
        """Return up to `limit` rows with an id above `after`, oldest first."""
        found = connection.execute(self._oldest, {"after": after, "limit": limit})
        # The driver's rows: wrapping each in a row of SQLAlchemy would take as long again.
        return list(map(Waiting._make, found.cursor.fetchall()))

    def remove(self, connection: Connection, ids: Sequence[int]) -> None:
        """Delete exactly these rows; a range would also delete a row in between that committed late."""
        connection.execute(self._remove, {"ids": listed(ids)})

    def oldest_at(self, connection: Connection) -> datetime | None:
        """Return when the oldest row was queued, which shows whether events leave; None if the outbox is empty."""
        oldest: datetime | None = connection.scalar(select(func.min(self.table.c.created_at)))
        return oldest


def _row(event: Event, carried: dict[str, str], now: datetime) -> dict[str, object]:
    headers = to_headers(event) | carried
    # The trace in which the event began: the partner's if it sent one, otherwise that in which this row is written.
    if "traceparent" in carried:
        headers.setdefault("ce_traceparent", carried["traceparent"])
    return {
        "aggregatetype": contracts.topic(event.type),
        "aggregateid": event.key,
        "type": event.type,
        "payload": to_value(event),
        "headers": to_json(headers).decode(),
        "created_at": now,
    }


def make_queue(connection: Connection) -> None:
    """Set up the table as a queue on PostgreSQL: notify the relay, vacuum often, and store each row in one piece."""
    if connection.dialect.name == "postgresql":
        for statement in (_CLEANED, _WHOLE, _GREW, _WAKES):
            connection.exec_driver_sql(statement)


# The default threshold, a share of the table, does not work for a table that is nearly always empty.
_CLEANED = "ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)"
# Encrypted bytes cannot be compressed, and a second (TOAST) table would cost two more writes for each row.
_WHOLE = "ALTER TABLE outbox SET (toast_tuple_target = 8160), ALTER COLUMN payload SET STORAGE EXTERNAL"
_GREW = f"""CREATE OR REPLACE FUNCTION outbox_grew() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NOTIFY {CHANNEL}; RETURN NULL; END $$"""
_WAKES = """CREATE OR REPLACE TRIGGER outbox_grew AFTER INSERT ON outbox
FOR EACH STATEMENT EXECUTE FUNCTION outbox_grew()"""
