"""A durable log in one SQLite file, which replaces Kafka when everything runs in one process."""

import heapq
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from operator import attrgetter
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    Text,
    delete,
    func,
    select,
)

from services.common.clock import Clock, SystemClock, monotonic
from services.common.database.column_types import Instant
from services.common.database.engine import Database
from services.common.database.inserts import upsert
from services.common.messaging.broker import Received, Record
from services.common.messaging.topics import Topic, topics

BATCH = 1000
_metadata = MetaData()
# All records have one order: stronger than the order per key that the interface promises, and simpler.
_record = Table(
    "record",
    _metadata,
    Column("position", Integer, primary_key=True),
    Column("topic", String(64), nullable=False),
    Column("key", String(64), nullable=False),
    Column("headers", Text, nullable=False),
    Column("value", LargeBinary),
    Column("written_at", Instant, nullable=False),
    Index("record_by_topic", "topic", "position"),
    sqlite_autoincrement=True,  # a position must not be assigned again after pruning
)
_progress = Table(
    "progress",
    _metadata,
    Column("consumer_group", String(64), primary_key=True),
    Column("topic", String(64), primary_key=True),
    Column("position", Integer, nullable=False),
)


class LocalLog:
    """The log of one embedded hub; it may be opened again after any kind of exit or crash."""

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self.database = Database(f"sqlite:///{path}")
        self.clock = clock or SystemClock()
        self.grown = threading.Condition()
        with self.database.transaction() as connection:
            _metadata.create_all(connection)

    def producer(self) -> "LocalSender":
        """Return a producer that writes to the log."""
        return LocalSender(self)

    def consumer(self, group: str, topics: Sequence[str]) -> "LocalReader":
        """Return the one member of `group`; work is not shared, since one process holds the log."""
        return LocalReader(self, group, topics)

    def sync_topics(self) -> Mapping[str, str]:
        """Return every topic as present, since none has to be created."""
        return dict.fromkeys(topics(), "present")

    def missing_topics(self) -> Sequence[str]:
        """Return an empty list, since no topic can be missing."""
        return []

    def append(self, records: Sequence[Record]) -> None:
        """Write records durably, in order, and wake waiting readers."""
        now = self.clock.now()
        rows = [
            {
                "topic": record.topic,
                "key": record.key,
                "headers": json.dumps(dict(record.headers)),
                "value": record.value,
                "written_at": now,
            }
            for record in records
        ]
        with self.database.transaction() as connection:
            connection.execute(_record.insert(), rows)
        with self.grown:
            self.grown.notify_all()

    def prune(self) -> None:
        """Delete records past their topic's retention, and on compacted topics all but the latest of each key."""
        with self.database.transaction() as connection:
            for topic in topics().values():
                self._prune(connection, topic)

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def _prune(self, connection: Connection, topic: Topic) -> None:
        mine = _record.c.topic == topic.name
        if topic.compacted:
            latest = select(func.max(_record.c.position)).where(mine).group_by(_record.c.key)
            connection.execute(delete(_record).where(mine, _record.c.position.not_in(latest)))
        elif topic.retention_ms is not None:
            oldest = self.clock.now() - timedelta(milliseconds=topic.retention_ms)
            connection.execute(delete(_record).where(mine, _record.c.written_at < oldest))


class LocalSender:
    """A producer that writes to the log."""

    def __init__(self, log: LocalLog) -> None:
        self._log = log

    def send(self, records: Sequence[Record]) -> "LocalPending":
        """Write records at once; when this returns they are on disk."""
        if records:
            self._log.append(records)
        return LocalPending(len(records))

    def close(self) -> None:
        """Do nothing, since a producer holds no resources."""


class LocalPending:
    """Records that are already on disk."""

    def __init__(self, count: int) -> None:
        self._count = count

    def acknowledged(self, timeout: float) -> Sequence[bool]:  # noqa: ARG002 - nothing is left to wait for
        """Return True for every record."""
        return [True] * self._count


class LocalReader:
    """A consumer that goes on where its group stopped."""

    def __init__(self, log: LocalLog, group: str, topics: Sequence[str]) -> None:
        self._log, self._group = log, group
        with log.database.reading() as connection:
            mine = select(_progress).where(_progress.c.consumer_group == group)
            kept = {row.topic: row.position for row in connection.execute(mine)}
        self._reached = {topic: kept.get(topic, 0) for topic in topics}
        self._kept = dict(self._reached)

    def poll(self, timeout: float) -> Sequence[Received]:
        """Return the next records of all topics, in the order in which they were written; an empty list after `timeout`."""
        deadline = monotonic() + timeout
        while not (received := self._read()):
            left = deadline - monotonic()
            if left <= 0:
                break
            with self._log.grown:
                # Another process may write too; the short wait finds its records without being woken.
                self._log.grown.wait(min(left, 0.05))
        self._reached |= {item.record.topic: item.offset for item in received}
        return received

    def commit(self) -> None:
        """Store the position reached in each topic."""
        rows = [
            {"consumer_group": self._group, "topic": topic, "position": position}
            for topic, position in self._reached.items()
            if position != self._kept[topic]
        ]
        if rows:
            with self._log.database.transaction() as connection:
                upsert(connection, _progress, rows)
            self._kept = dict(self._reached)

    def close(self) -> None:
        """Do nothing, since a consumer holds no resources."""

    def _read(self) -> list[Received]:
        with self._log.database.reading() as connection:
            streams = [self._after(connection, topic, position) for topic, position in self._reached.items()]
            rows = islice(heapq.merge(*streams, key=attrgetter("position")), BATCH)
            return [Received(_as_record(row), 0, row.position) for row in rows]

    @staticmethod
    def _after(connection: Connection, topic: str, position: int) -> Iterator[Row[tuple[object, ...]]]:
        ahead = select(_record).where(_record.c.topic == topic, _record.c.position > position)
        return iter(connection.execute(ahead.order_by(_record.c.position).limit(BATCH)).all())


def _as_record(row: Row[tuple[object, ...]]) -> Record:
    return Record(row.topic, row.key, json.loads(row.headers), row.value)
