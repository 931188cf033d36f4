"""The relay: it sends outbox rows to the bus, oldest first, and deletes the rows that the bus has acknowledged."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from pydantic_core import from_json

from services.common import metrics, telemetry
from services.common.database.advisory_locks import notified, sole
from services.common.database.engine import Database
from services.common.messaging.broker import Broker, BrokerUnavailable, Pending, Producer, Record
from services.common.messaging.outbox import CHANNEL, Outbox, Waiting

BATCH = 2000
ACKNOWLEDGE_SECONDS = 30.0
STANDBY_SECONDS = 1.0
# With notifications the relay polls only for rows that it was not notified of; polling as often as on SQLite costs an idle
# hub a sixth of a core.
NOTIFIED_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Relay:
    """The relay of one service; a second process stands by until the first is gone.

    Only one may run, since two would send rows of one key in the wrong order.
    """

    name: str
    database: Database
    outbox: Outbox
    broker: Broker
    interval: float
    """Seconds between two reads of an empty outbox on SQLite, which has no notifications."""

    def run(self, stopping: threading.Event) -> None:
        """Relay until told to stop; raises `BrokerUnavailable` while the bus is down, and is then run again."""
        pause = max(self.interval, NOTIFIED_POLL_SECONDS) if self.database.is_postgresql else self.interval
        with (
            sole(self.database, f"relay:{self.name}") as alone,
            notified(self.database, CHANNEL) as wait,
            closing(self.broker.producer()) as producer,
        ):
            if not alone():
                stopping.wait(STANDBY_SECONDS)
                return
            while not stopping.is_set():
                # The lock has to be checked only when there is something to send.
                if rows := self._page():
                    if not alone():
                        return
                    self.pass_on(producer, rows)
                wait(pause)

    def pass_on(self, producer: Producer, first: Sequence[Waiting] | None = None) -> int:
        """Send all waiting rows; return how many were sent. `first` is the first page, if it was read already.

        While one page is sent, the next is read, and the one before is awaited and deleted.
        """
        rows = self._page() if first is None else first
        sent = 0
        blocked: set[str] = set()
        before: Future[int] | None = None
        with ThreadPoolExecutor(2) as beside:
            while rows:
                # A short page ends this pass. The next pass starts at the oldest row, and so finds rows that committed late.
                following = beside.submit(self._page, rows[-1].id) if len(rows) == BATCH else None
                free = [row for row in rows if row.key not in blocked] if blocked else rows
                pending = _send(producer, free)
                sent += before.result() if before else 0
                if following is None:
                    return sent + self._settle(free, pending, blocked)
                before = beside.submit(self._settle, free, pending, blocked)
                rows = following.result()
            return sent + (before.result() if before else 0)

    def _page(self, after: int = 0) -> Sequence[Waiting]:
        # Forbidding the sort costs too much for a first page, which may be empty, and little for the rest of a backlog.
        with self.database.reading(in_order=after > 0) as connection:
            return self.outbox.oldest(connection, after, BATCH)

    def _settle(self, rows: Sequence[Waiting], pending: Pending, blocked: set[str]) -> int:
        done: list[int] = []
        for row, arrived in zip(rows, pending.acknowledged(ACKNOWLEDGE_SECONDS), strict=True):
            # Once a row of a key has failed, every later row of that key stays too, which keeps the order within a key.
            if not arrived:
                blocked.add(row.key)
            elif row.key not in blocked:
                done.append(row.id)
        with self.database.transaction() as connection:
            self.outbox.remove(connection, done)
        metrics.relayed.add(len(done), {"service": self.name})
        if len(done) < len(rows):
            raise BrokerUnavailable("not every record was acknowledged")
        return len(done)


def _send(producer: Producer, rows: Sequence[Waiting]) -> Pending:
    # The stored `traceparent` is the context in which the event was made; it is sent unchanged, and only once.
    records = [Record(topic, key, from_json(headers), payload) for _, topic, key, _, headers, payload in rows]
    if not telemetry.recording():
        return producer.send(records)
    with telemetry.sending(records[0].topic if records else "nothing", [record.headers for record in records]):
        return producer.send(records)
