"""The smallest service there is: plumbing and one table, in which a handler's effect can be seen."""

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
    """The `number`-th event of a key."""
    return Event(id=f"{key}-{number}", source="test", type=event_type, time=NOON, data={"number": number}, key=key)


def received(events: Iterable[Event], first: int = 1) -> list[Received]:
    """Events as a consumer gets them, one after the other."""
    return [
        Received(Record(TOPIC, event.key, to_headers(event), to_value(event)), 0, place)
        for place, event in enumerate(events, first)
    ]


def take(consumer: Consumer, amount: int) -> list[Received]:
    """So many records, or more, as soon as a consumer has got them."""
    taken: list[Received] = []

    def all_came() -> bool:
        taken.extend(consumer.poll(0.5))
        return len(taken) >= amount

    eventually(all_came)
    return taken


def add_effect(connection: Connection, event: Event) -> None:
    """The handler: note that the event took effect."""
    connection.execute(effect.insert(), {"key": event.key, "event": event.id})


def effects(database: Database) -> list[str]:
    """The ids of events that took effect, in that order."""
    with database.reading() as connection:
        return list(connection.scalars(select(effect.c.event).order_by(effect.c.id)))


def parked(database: Database) -> list[tuple[str, str]]:
    """Event keys and reasons of what is parked, oldest first."""
    table = plumbing.parking.table
    with database.reading() as connection:
        rows = connection.execute(select(table.c.key, table.c.reason).order_by(table.c.id))
        return [(row.key, row.reason) for row in rows]


def waiting(database: Database) -> list[str]:
    """The ids of events in the outbox, oldest first."""
    with database.reading() as connection:
        rows = plumbing.outbox.oldest(connection, 0, 100_000)
        return [json.loads(row.headers)["ce_id"] for row in rows]


def add_events(database: Database, events: Sequence[Event]) -> None:
    """Put events into the outbox and commit."""
    with database.transaction() as connection:
        plumbing.outbox.add(connection, events, NOON)


def make_consumer(database: Database, broker: Broker, handler: Handler = add_effect) -> EventConsumer:
    """A reader whose one handler notes the effect, unless it is given another."""
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
    """What a bus says of some records."""

    arrived: Sequence[bool]
    on_ask: Callable[[], None] = lambda: None

    def acknowledged(self, timeout: float) -> Sequence[bool]:  # noqa: ARG002 - the answer is known
        """As it was told to say."""
        self.on_ask()
        return self.arrived


@dataclass(slots=True)
class ChoosyProducer:
    """A bus of the test's own: it refuses what `refuses` says, and writes down what happens in which order."""

    refuses: Callable[[Record], bool] = lambda _record: False
    took: list[Record] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    on_send: Callable[[], None] = lambda: None
    on_settle: Callable[[int], None] = lambda _number: None

    def send(self, records: Sequence[Record]) -> Pending:
        """Take what is not refused."""
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
        """Nothing is held."""

    @property
    def ids(self) -> list[str]:
        """The events that arrived, in order."""
        return [record.headers["ce_id"] for record in self.took]


class NoBus:
    """A bus that is down."""

    def producer(self) -> Producer:
        """Nobody is let in."""
        raise BrokerUnavailable

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:  # noqa: ARG002 - nobody is let in
        """Nobody is let in."""
        raise BrokerUnavailable

    def sync_topics(self) -> Mapping[str, str]:
        """Nobody is let in."""
        raise BrokerUnavailable

    def missing_topics(self) -> Sequence[str]:
        """Nobody is let in."""
        raise BrokerUnavailable


class BatchBus(NoBus):
    """A bus of the test's own: it hands out batches to one consumer, then tells it to stop."""

    def __init__(
        self,
        batches: Sequence[Sequence[Received]],
        on_poll: Callable[[], None] = lambda: None,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self.batches = list(batches)
        self.commit, self._on_poll = on_commit, on_poll
        self.stopping = threading.Event()

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:  # noqa: ARG002 - there is one
        """Itself."""
        return self

    def poll(self, timeout: float) -> Sequence[Received]:  # noqa: ARG002 - nothing is waited for
        """The next batch; after the last one it is time to stop."""
        self._on_poll()
        if not self.batches:
            self.stopping.set()
            return []
        return self.batches.pop(0)

    def close(self) -> None:
        """Nothing is held."""
