"""Outbox, relay, bus, consumer and parking together, against the simplest model of their promises.

Any step may commit, fail, be refused, crash or be poisoned: no event is lost or takes effect twice, and the events of one
key take effect in the order in which they were committed.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection

from deploy.testing.kafka import KafkaServer
from deploy.testing.postgresql import PostgresServer
from services.common.database.engine import Database
from services.common.errors import Transient
from services.common.messaging.broker import Broker, BrokerUnavailable, Consumer, Pending, Producer, Record
from services.common.messaging.cloudevents import Event
from services.common.messaging.consumer import EventConsumer
from services.common.messaging.kafka import KafkaBroker
from services.common.messaging.local_log import LocalLog
from services.common.messaging.relay import Relay
from tests.support.clocks import NOON
from tests.support.plumbing import TOPIC, add_effect, effects, make_consumer, make_event, metadata, plumbing

KEYS = ("a", "b", "c")
keys = st.lists(st.sampled_from(KEYS), min_size=1, max_size=6)
_groups = count(1)


class Crash(Exception):
    """The process ends here."""


@dataclass(frozen=True, slots=True)
class Ground:
    """The state that survives a crash: databases with rows, and the bus with records."""

    database: Callable[[], Database]
    broker: Callable[[], Broker]
    poll_seconds: float


@dataclass(slots=True)
class Refused:
    """The answer of a real bus, with some records refused that were never sent."""

    sent: Pending
    places: Sequence[bool]

    def acknowledged(self, timeout: float) -> Sequence[bool]:
        answers = iter(self.sent.acknowledged(timeout))
        return [next(answers) if taken else False for taken in self.places]


@dataclass(slots=True)
class RefusesKey:
    """A real bus that refuses every record of one key."""

    producer: Producer
    key: str

    def send(self, records: Sequence[Record]) -> Pending:
        places = [record.key != self.key for record in records]
        taken = [record for record, place in zip(records, places, strict=True) if place]
        return Refused(self.producer.send(taken), places)

    def close(self) -> None:
        self.producer.close()


@dataclass(slots=True)
class NeverAnswers:
    """A real bus that accepts everything, while the process ends before it gets the answer."""

    producer: Producer
    pending: Pending | None = None

    def send(self, records: Sequence[Record]) -> Pending:
        self.pending = self.producer.send(records)
        return self

    def acknowledged(self, timeout: float) -> Sequence[bool]:
        assert self.pending is not None
        self.pending.acknowledged(timeout)
        raise Crash

    def close(self) -> None:
        self.producer.close()


class Journey(RuleBasedStateMachine):
    """Events from handlers on one side to effects on the other."""

    ground: Ground

    @initialize()
    def begin(self) -> None:
        self.committed: dict[str, list[str]] = {key: [] for key in KEYS}
        self.poisonous: set[str] = set()
        self.outage_at: str | None = None
        self.service = f"journey-{next(_groups)}"
        self.open()
        metadata.drop_all(self.database.engine)
        metadata.create_all(self.database.engine)
        self.skip_what_earlier_runs_left()

    def open(self) -> None:
        self.database, self.broker = self.ground.database(), self.ground.broker()
        self.relay = Relay("test", self.database, plumbing.outbox, self.broker, 0.01)
        self.producer = self.broker.producer()
        self.events: EventConsumer = make_consumer(self.database, self.broker, self.handle)
        self.consumer: Consumer = self.broker.consumer(self.service, [TOPIC])

    def close(self) -> None:
        self.consumer.close()
        self.producer.close()
        self.database.close()
        if isinstance(self.broker, LocalLog):
            self.broker.close()

    def skip_what_earlier_runs_left(self) -> None:
        while self.consumer.poll(self.ground.poll_seconds):
            self.consumer.commit()

    def handle(self, connection: Connection, event: Event) -> None:
        add_effect(connection, event)
        if event.id == self.outage_at:
            self.outage_at = None
            raise Transient
        if event.id in self.poisonous:
            raise LookupError

    def make(self, wanted: Sequence[str]) -> list[Event]:
        """Return the next events of some keys."""
        numbers = {key: count(len(self.committed[key]) + 1) for key in KEYS}
        return [make_event(key, next(numbers[key])) for key in wanted]

    @rule(wanted=keys)
    def commit(self, wanted: Sequence[str]) -> None:
        events = self.make(wanted)
        with self.database.transaction() as connection:
            plumbing.outbox.add(connection, events, NOON)
        for event in events:
            self.committed[event.key].append(event.id)

    @rule(wanted=keys)
    def fail_before_committing(self, wanted: Sequence[str]) -> None:
        with suppress(Crash), self.database.transaction() as connection:
            plumbing.outbox.add(connection, self.make(wanted), NOON)
            raise Crash

    @rule()
    def pass_on(self) -> None:
        self.relay.pass_on(self.producer)

    @rule(key=st.sampled_from(KEYS))
    def pass_on_while_a_key_is_refused(self, key: str) -> None:
        with suppress(BrokerUnavailable):
            self.relay.pass_on(RefusesKey(self.producer, key))

    @rule()
    def crash_after_sending(self) -> None:
        with suppress(Crash):
            self.relay.pass_on(NeverAnswers(self.producer))
        self.crash()

    @rule()
    def consume(self) -> None:
        if received := self.consumer.poll(self.ground.poll_seconds):
            self.events.take(received)
            self.consumer.commit()

    @rule()
    def crash_between_database_and_offset(self) -> None:
        if received := self.consumer.poll(self.ground.poll_seconds):
            self.events.take(received)
        self.crash()

    @rule(key=st.sampled_from(KEYS), data=st.data())
    def meet_an_outage(self, key: str, data: st.DataObject) -> None:
        if self.committed[key]:
            self.outage_at = data.draw(st.sampled_from(self.committed[key]))
            with suppress(Transient):
                self.consume()
            self.outage_at = None
            self.crash()

    @rule(key=st.sampled_from(KEYS))
    def poison_what_comes_next(self, key: str) -> None:
        self.poisonous.add(f"{key}-{len(self.committed[key]) + 1}")

    @rule(key=st.sampled_from(KEYS))
    def mend_and_replay(self, key: str) -> None:
        self.poisonous = {event for event in self.poisonous if not event.startswith(key)}
        self.events.replay(key)

    @rule(key=st.sampled_from(KEYS))
    def replay_without_mending(self, key: str) -> None:
        self.events.replay(key)

    @rule()
    def crash(self) -> None:
        self.close()
        self.open()

    @invariant()
    def every_key_has_taken_effect_in_order_as_far_as_it_came(self) -> None:
        for key, happened in self.happened().items():
            assert happened == self.committed[key][: len(happened)]

    def happened(self) -> dict[str, list[str]]:
        found = effects(self.database)
        return {key: [event for event in found if event.startswith(key)] for key in KEYS}

    def teardown(self) -> None:
        """Check that, once everything is repaired, every event has taken effect."""
        if not hasattr(self, "database"):
            return
        self.poisonous.clear()
        self.pass_on()
        for key in KEYS:
            self.events.replay(key)
        for _attempt in range(50):
            self.consume()
            if self.happened() == self.committed:
                break
        happened = self.happened()
        self.close()
        assert happened == self.committed


def run(ground: Ground, examples: int, steps: int) -> None:
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(type("OneJourney", (Journey,), {"ground": ground}), settings=chosen)


@pytest.fixture
def local(database_url: str, tmp_path: Path) -> Ground:
    return Ground(lambda: Database(database_url), lambda: LocalLog(tmp_path / "log.sqlite"), poll_seconds=0)


@pytest.fixture
def distributed(postgres_server: PostgresServer, kafka_server: KafkaServer) -> Ground:
    kafka_server.empty_topics()
    url = postgres_server.empty_database().replace("postgresql://", "postgresql+psycopg://")
    return Ground(lambda: Database(url), lambda: KafkaBroker(kafka_server.bootstrap), poll_seconds=1.0)


@pytest.mark.backend("local_log")
def test_nothing_is_lost_doubled_or_out_of_order_on_the_way(local: Ground) -> None:
    run(local, examples=20, steps=25)


@pytest.mark.soak
@pytest.mark.backend("local_log")
def test_nothing_is_lost_doubled_or_out_of_order_in_many_runs(local: Ground) -> None:
    run(local, examples=500, steps=60)


# A Kafka client that is closed while it still connects leaves that socket to the garbage collector, which then warns.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.soak
@pytest.mark.backend("postgresql", "kafka")
def test_nothing_is_lost_doubled_or_out_of_order_with_kafka(distributed: Ground) -> None:
    run(distributed, examples=15, steps=30)
