"""The consumer: inbox and handlers run in one transaction, then the offset is committed; a key that fails is parked."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from opentelemetry.trace import SpanKind
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.common import metrics, telemetry
from services.common.clock import Clock, monotonic
from services.common.database.engine import Database
from services.common.errors import Park, Transient
from services.common.messaging.broker import Broker, Consumer, Received
from services.common.messaging.cloudevents import Event, from_record
from services.common.messaging.inbox import Inbox
from services.common.messaging.parking import BEHIND, Parking
from services.common.messaging.pipeline import Pipeline

Handler = Callable[[Connection, Event], None]
Act = Callable[[Connection], None]
# Reads many events at once, without the database; the act that it returns runs in the transaction. Its effect must not
# depend on the order of events, nor on how often each arrives, since folded events have no inbox.
Fold = Callable[[Sequence[Event]], Act]
# Something outside is down (also a disk) and the events are fine: nothing is parked, and the worker tries again.
OUTAGES = (OperationalError, PoolTimeout, Transient, OSError)
POLL_SECONDS = 0.5
# Committing offsets costs the broker as much as an event, so it is done for many events at once.
COMMIT_SECONDS = 1.0
# Reading fewer events takes less time than starting a thread.
WORTH_READING_AHEAD = 100
ATTEMPTS = 3
# Longer than any topic keeps records, so an event cannot arrive again after its inbox row was deleted.
INBOX_DAYS = timedelta(days=45)
# A handler that fails on everything is a broken release, not a series of broken events: stop rather than park all events.
MAX_PARKED_IN_A_ROW = 20


class TooManyFailures(Exception):
    """Many events in a row could not be handled; the consumer stops, so that a person checks before more are parked."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that were read without the database: those meant for this service, parsed, and the acts of their folds."""

    meant: Sequence[Received]
    wanted: Sequence[tuple[Event, Mapping[str, str]]]
    folds: Sequence[tuple[str, Act]]
    folded: int


@dataclass(slots=True)
class EventConsumer:
    """The consumer of one service, with a handler or fold for each event type; it ignores other types."""

    service: str
    database: Database
    inbox: Inbox
    parking: Parking
    broker: Broker
    topics: Sequence[str]
    handlers: Mapping[str, Handler]
    clock: Clock
    folds: Mapping[str, Fold] = field(default_factory=dict)
    parked_in_a_row: int = 0

    def run(self, stopping: threading.Event) -> None:
        """Consume until told to stop; raises `BrokerUnavailable` while the bus is down, and is then run again."""
        with closing(self.broker.consumer(f"fireweed-{self.service}", self.topics)) as consumer:
            while not stopping.is_set():
                if self._take_for(COMMIT_SECONDS, consumer, stopping):
                    # The database first, then the offset: after a crash in between events come again, and the inbox has them.
                    consumer.commit()

    def _take_for(self, seconds: float, consumer: Consumer, stopping: threading.Event) -> int:
        """Take events for some seconds, or until a poll returns none; return how many came."""
        deadline, came = monotonic() + seconds, 0
        with Pipeline() as pipeline:  # it handles one batch while the next is read
            while not stopping.is_set() and monotonic() < deadline and (received := consumer.poll(POLL_SECONDS)):
                if len(received) < WORTH_READING_AHEAD:
                    pipeline.wait()
                    self.take(received)
                else:
                    # The next events are polled and parsed while the database works on these.
                    pipeline.begin(partial(self.take, received, self._read_ahead(received)))
                came += len(received)
        return came

    def take(self, received: Sequence[Received], read: Batch | None = None) -> None:
        """Handle a batch in one transaction; if anything in it fails, handle its events one by one."""
        try:
            self._take_together(received, read)
        except OUTAGES:
            raise
        except Exception:  # noqa: BLE001 - it occurs again, event by event, below
            for item in received:
                self._take_alone(item)

    def replay(self, key: str) -> int:
        """Handle the parked events of one key again, in order; return how many were handled.

        In each topic this stops at the first event that still fails. Order is kept within a topic only, so a failure in one
        topic stops no event of another.
        """
        done, stopped = 0, set[str]()
        # While these are handled, a worker may park further events of the key.
        while parked := [each for each in self._parked(key) if each[1].record.topic not in stopped]:
            for row, item in parked:
                if item.record.topic in stopped:
                    continue
                try:
                    with self.database.transaction() as connection:
                        self._handle(connection, self._read([item]))
                        self.parking.release(connection, row)
                except Exception as error:  # noqa: BLE001 - whatever it is, the rest of the key must stay parked
                    telemetry.log.warning("%s: a parked event still fails (%s)", self.service, type(error).__name__)
                    stopped.add(item.record.topic)
                else:
                    done += 1
        return done

    def _parked(self, key: str) -> Sequence[tuple[int, Received]]:
        with self.database.transaction() as connection:
            return self.parking.of_key(connection, key)

    def forget_old(self) -> None:
        """Delete inbox rows of events that cannot arrive again."""
        with self.database.transaction() as connection:
            self.inbox.forget(connection, self.clock.now() - INBOX_DAYS)

    def _take_together(self, received: Sequence[Received], read: Batch | None = None) -> None:
        # Most events are for other services, and only their type is read.
        meant = read.meant if read else [item for item in received if self._is_meant(item)]
        if not meant:
            return
        with self.database.transaction() as connection:
            parked = self.parking.keys(connection, sorted({item.record.key for item in meant}))
            for item in meant:
                if _lane(item) in parked:
                    self.parking.park(connection, item, BEHIND, self.clock.now())
            if parked or not read:
                read = self._read([item for item in meant if _lane(item) not in parked])
            handled = self._handle(connection, read)
        # Events that were parked, ignored or repeated do not show whether handlers work.
        if handled:
            self.parked_in_a_row = 0

    def _take_alone(self, item: Received) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._take_together([item])
            except OUTAGES:
                raise
            except Park as reason:
                return self._park(item, reason)
            except Exception as error:  # noqa: BLE001 - an unforeseen failure must not stop other keys
                if attempt == ATTEMPTS:
                    return self._park(item, error)
            else:
                return None
        return None

    def _park(self, item: Received, error: Exception) -> None:
        reason = type(error.__cause__ or error).__name__
        with self.database.transaction() as connection:
            self.parking.park(connection, item, reason, self.clock.now())
        telemetry.log.error("%s: parked an event of %s (%s)", self.service, item.record.topic, reason)
        metrics.parked.add(1, {"service": self.service})
        self.parked_in_a_row += 1
        if self.parked_in_a_row >= MAX_PARKED_IN_A_ROW:
            raise TooManyFailures(f"{self.parked_in_a_row} events in a row could not be handled")

    def _handle(self, connection: Connection, batch: Batch) -> int:
        carried = {(event.source, event.id): headers for event, headers in batch.wanted}
        new = self.inbox.take(connection, [event for event, _ in batch.wanted], self.clock.now())
        for event in new:
            with telemetry.span(f"process {event.type}", SpanKind.CONSUMER, carried[event.source, event.id]):
                self.handlers[event.type](connection, event)
        for kind, act in batch.folds:
            with telemetry.span(f"fold {kind}", SpanKind.CONSUMER):
                act(connection)
        metrics.consumed.add(len(batch.wanted) + batch.folded, {"service": self.service})
        return len(new) + batch.folded

    def _read_ahead(self, received: Sequence[Received]) -> Batch | None:
        """Parse a batch in advance; return None if one of its events cannot be parsed, which `take` then finds again."""
        try:
            return self._read([item for item in received if self._is_meant(item)])
        except Exception:  # noqa: BLE001 - met again, where it is dealt with
            return None

    def _read(self, meant: Sequence[Received]) -> Batch:
        taken = [(event, item.record.headers) for item in meant if (event := self._wanted(item))]
        by_fold: dict[Fold, list[Event]] = {}
        for event, _ in taken:
            if event.type in self.folds:
                by_fold.setdefault(self.folds[event.type], []).append(event)
        wanted = [(event, headers) for event, headers in taken if event.type in self.handlers]
        folds = [(events[0].type, fold(events)) for fold, events in by_fold.items()]
        return Batch(meant, wanted, folds, sum(map(len, by_fold.values())))

    def _is_meant(self, item: Received) -> bool:
        """Tell whether an event is handled here, or may be: an event without a type header has to be parsed first."""
        kind = item.record.headers.get("ce_type")
        return item.record.value is not None and (kind is None or kind in self.handlers or kind in self.folds)

    def _wanted(self, item: Received) -> Event | None:
        try:
            event = from_record(item.record.headers, item.record.value, item.record.key)
        except (ValueError, TypeError, AttributeError) as error:
            raise Park from error
        return event if event.type in self.handlers or event.type in self.folds else None


def _lane(item: Received) -> tuple[str, str]:
    """Return topic and key, within which order holds and events are parked together."""
    return item.record.topic, item.record.key
