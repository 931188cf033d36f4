"""A minimal service for tests: outbox, inbox and parking, and one table that shows the effects of its handler."""

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Column, Connection, MetaData, String, Table, select

from services.common.database.column_types import BigId
from services.common.database.engine import Database
from services.common.messaging.broker import Broker, BrokerUnavailable, Consumer, Pending, Producer, Received, Record
from services.common.messaging.cloudevents import Event, to_headers, to_value
from services.common.messaging.consumer import EventConsumer, Handler
from services.common.service_tables import define_plumbing
from tests.support.clocks import NOON, StillClock
from tests.support.hubs import eventually

TYPE = "referral.updated.v1"
TOPIC = "referrals.v1"
metadata = MetaData()
plumbing = define_plumbing(metadata)
effect = Table(
    "effect",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("key", String(64), nullable=False),
    Column("event", String(64), nullable=False),
)


def make_event(key: str, number: int, event_type: str = TYPE) -> Event:
    """Return the `number`-th event of a key."""
    return Event(id=f"{key}-{number}", source="test", type=event_type, time=NOON, data={"number": number}, key=key)


def received(events: Iterable[Event], first: int = 1) -> list[Received]:
    """Return events as a consumer receives them, at consecutive offsets."""
    return [
        Received(Record(TOPIC, event.key, to_headers(event), to_value(event)), 0, place)
        for place, event in enumerate(events, first)
    ]


def take(consumer: Consumer, amount: int) -> list[Received]:
    """Poll until the consumer has received at least `amount` records; return them."""
    taken: list[Received] = []

    def all_came() -> bool:
        taken.extend(consumer.poll(0.5))
        return len(taken) >= amount

    eventually(all_came)
    return taken


def add_effect(connection: Connection, event: Event) -> None:
    """Handle an event: add a row to the table `effect`."""
    connection.execute(effect.insert(), {"key": event.key, "event": event.id})


def effects(database: Database) -> list[str]:
    """Return the ids of the events that took effect, in that order."""
    with database.reading() as connection:
        return list(connection.scalars(select(effect.c.event).order_by(effect.c.id)))


def parked(database: Database) -> list[tuple[str, str]]:
    """Return the key and the reason of each parked event, oldest first."""
    table = plumbing.parking.table
    with database.reading() as connection:
        rows = connection.execute(select(table.c.key, table.c.reason).order_by(table.c.id))
        return [(row.key, row.reason) for row in rows]


def waiting(database: Database) -> list[str]:
    """Return the ids of the events in the outbox, oldest first."""
    with database.reading() as connection:
        rows = plumbing.outbox.oldest(connection, 0, 100_000)
        return [json.loads(row.headers)["ce_id"] for row in rows]


def add_events(database: Database, events: Sequence[Event]) -> None:
    """Put events into the outbox and commit."""
    with database.transaction() as connection:
        plumbing.outbox.add(connection, events, NOON)


def make_consumer(database: Database, broker: Broker, handler: Handler = add_effect) -> EventConsumer:
    """Return a consumer with one handler, `add_effect` by default."""
    return EventConsumer(
        service="test",
        database=database,
        inbox=plumbing.inbox,
        parking=plumbing.parking,
        broker=broker,
        topics=[TOPIC],
        handlers={TYPE: handler},
        clock=StillClock(),
    )


@dataclass(slots=True)
class Answer:
    """The acknowledgement of some records by a bus."""

    arrived: Sequence[bool]
    on_ask: Callable[[], None] = lambda: None

    def acknowledged(self, timeout: float) -> Sequence[bool]:  # noqa: ARG002 - the answer is fixed
        """Return the prepared answer."""
        self.on_ask()
        return self.arrived


@dataclass(slots=True)
class ChoosyProducer:
    """A fake producer: it refuses the records that `refuses` selects, and keeps the order of its steps."""

    refuses: Callable[[Record], bool] = lambda _record: False
    took: list[Record] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    on_send: Callable[[], None] = lambda: None
    on_settle: Callable[[int], None] = lambda _number: None

    def send(self, records: Sequence[Record]) -> Pending:
        """Take the records that are not refused."""
        number = len([step for step in self.steps if step.startswith("send")]) + 1
        self.steps.append(f"send {number}")
        arrived = [not self.refuses(record) for record in records]
        self.took += [record for record, took in zip(records, arrived, strict=True) if took]
        self.on_send()
        return Answer(arrived, partial(self._settle, number))

    def _settle(self, number: int) -> None:
        self.on_settle(number)
        self.steps.append(f"settle {number}")

    def close(self) -> None:
        """Do nothing: it holds no resources."""

    @property
    def ids(self) -> list[str]:
        """Return the ids of the events that arrived, in order."""
        return [record.headers["ce_id"] for record in self.took]


class NoBus:
    """A bus that is down."""

    def producer(self) -> Producer:
        """Raise `BrokerUnavailable`."""
        raise BrokerUnavailable

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:  # noqa: ARG002 - the bus is down
        """Raise `BrokerUnavailable`."""
        raise BrokerUnavailable

    def sync_topics(self) -> Mapping[str, str]:
        """Raise `BrokerUnavailable`."""
        raise BrokerUnavailable

    def missing_topics(self) -> Sequence[str]:
        """Raise `BrokerUnavailable`."""
        raise BrokerUnavailable


class BatchBus(NoBus):
    """A fake bus: it hands out batches to one consumer, then sets `stopping`."""

    def __init__(
        self,
        batches: Sequence[Sequence[Received]],
        on_poll: Callable[[], None] = lambda: None,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self.batches = list(batches)
        self.commit, self._on_poll = on_commit, on_poll
        self.stopping = threading.Event()

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:  # noqa: ARG002 - there is one consumer
        """Return this object."""
        return self

    def poll(self, timeout: float) -> Sequence[Received]:  # noqa: ARG002 - it never waits
        """Return the next batch; after the last one set `stopping` and return nothing."""
        self._on_poll()
        if not self.batches:
            self.stopping.set()
            return []
        return self.batches.pop(0)

    def close(self) -> None:
        """Do nothing: it holds no resources."""
