"""Events take effect once and in order, and the key of a failing event is parked."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import accumulate, count

import pytest
from sqlalchemy import Connection
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.common.database.engine import Database
from services.common.errors import Park, Transient
from services.common.messaging.broker import Broker, BrokerUnavailable, Consumer, Producer, Received, Record
from services.common.messaging.cloudevents import Event, to_headers, to_value
from services.common.messaging.consumer import (
    INBOX_DAYS,
    MAX_PARKED_IN_A_ROW,
    WORTH_READING_AHEAD,
    Act,
    Batch,
    EventConsumer,
    TooManyFailures,
)
from services.common.messaging.parking import BEHIND
from services.common.messaging.topics import topics
from tests.support.clocks import StillClock
from tests.support.plumbing import (
    TOPIC,
    TYPE,
    BatchBus,
    NoBus,
    add_effect,
    effects,
    make_consumer,
    make_event,
    metadata,
    parked,
    received,
)

TIMEOUT = 20.0
_services = count(1)


@pytest.fixture(autouse=True)
def tables(database: Database) -> None:
    metadata.create_all(database.engine)


class Unforeseen(Exception):
    """A bug in a handler."""


class Handler:
    """Records the effect of every event, except the events on which it has to fail."""

    def __init__(self, database: Database, *broken: str, error: type[Exception] = Unforeseen) -> None:
        self.broken, self.error = set(broken), error
        self.calls: list[str] = []
        # Records are passed to `take` directly, so no bus is needed.
        self.consumer = make_consumer(database, NoBus(), self)

    def __call__(self, connection: Connection, event: Event) -> None:
        self.calls.append(event.id)
        add_effect(connection, event)
        if event.id in self.broken:
            raise self.error


def events(*names: str) -> list[Event]:
    """Return events for names such as `a-1`: key and number."""
    return [make_event(name.partition("-")[0], int(name.partition("-")[2])) for name in names]


def test_events_take_effect_in_order(database: Database) -> None:
    Handler(database).consumer.take(received(events("a-1", "b-1", "a-2")))
    assert effects(database) == ["a-1", "b-1", "a-2"]


def test_an_event_that_comes_again_takes_effect_once(database: Database) -> None:
    handler = Handler(database)
    handler.consumer.take(received(events("a-1", "a-2", "a-1")))
    handler.consumer.take(received(events("a-1", "a-2", "a-3"), first=10))
    assert effects(database) == ["a-1", "a-2", "a-3"]
    assert handler.calls == ["a-1", "a-2", "a-3"]


def test_a_batch_of_a_thousand_events_is_one_transaction(database: Database) -> None:
    commits: list[object] = []
    sqlalchemy_event.listen(database.engine, "commit", commits.append)
    handler = Handler(database)
    handler.consumer.take(received([make_event(f"k{n % 50}", n) for n in range(1000)]))
    assert len(effects(database)) == 1000
    assert len(commits) == 1


def test_a_poison_event_parks_its_key_and_others_go_on(database: Database) -> None:
    Handler(database, "a-2").consumer.take(received(events("a-1", "b-1", "a-2", "b-2", "a-3", "b-3")))
    assert effects(database) == ["a-1", "b-1", "b-2", "b-3"]
    assert parked(database) == [("a", "Unforeseen"), ("a", BEHIND)]


def test_later_events_of_a_parked_key_go_behind_it(database: Database) -> None:
    handler = Handler(database, "a-1")
    handler.consumer.take(received(events("a-1")))
    handler.consumer.take(received(events("a-2", "b-1"), first=2))
    assert effects(database) == ["b-1"]
    assert parked(database) == [("a", "Unforeseen"), ("a", BEHIND)]
    assert "a-2" not in handler.calls


def test_nothing_of_a_poison_event_takes_effect(database: Database) -> None:
    Handler(database, "a-1").consumer.take(received(events("a-1")))
    assert effects(database) == []


def test_unforeseen_failure_is_retried_before_parking(database: Database) -> None:
    handler = Handler(database, "a-1")

    def heal(connection: Connection, event: Event) -> None:
        handler.calls.append(event.id)
        if len(handler.calls) < 3:
            raise Unforeseen
        add_effect(connection, event)

    make_consumer(database, NoBus(), heal).take(received(events("a-1")))
    assert effects(database) == ["a-1"]
    assert parked(database) == []


def test_event_that_its_handler_parks_is_not_retried(database: Database) -> None:
    handler = Handler(database, "a-1", error=Park)
    handler.consumer.take(received(events("a-1")))
    assert handler.calls == ["a-1"] * 2  # once with its batch, once alone
    assert parked(database) == [("a", "Park")]


def test_reason_of_a_parked_event_is_a_class_not_a_message(database: Database) -> None:
    def fail(_connection: Connection, _event: Event) -> None:
        raise Park from ValueError("Sample Aspen")

    make_consumer(database, NoBus(), fail).take(received(events("a-1")))
    assert parked(database) == [("a", "ValueError")]


@pytest.mark.parametrize(
    "outage", [Transient(), OperationalError("SELECT", {}, Exception()), PoolTimeout(), OSError(30, "Read-only")]
)
def test_an_outage_parks_nothing_and_leaves_the_event_for_later(database: Database, outage: Exception) -> None:
    down = True

    def handle(connection: Connection, event: Event) -> None:
        if event.key == "a" and down:
            raise outage
        add_effect(connection, event)

    consumer = make_consumer(database, NoBus(), handle)
    batch = received(events("b-1", "a-1", "b-2"))
    with pytest.raises(type(outage)):
        consumer.take(batch)
    assert parked(database) == []
    down = False
    consumer.take(batch)
    assert effects(database) == ["b-1", "a-1", "b-2"]


def test_outage_in_one_by_one_handling_parks_nothing(database: Database) -> None:
    calls = 0

    def handle(_connection: Connection, _event: Event) -> None:
        nonlocal calls
        calls += 1
        raise Unforeseen if calls == 1 else Transient

    with pytest.raises(Transient):
        make_consumer(database, NoBus(), handle).take(received(events("a-1")))
    assert parked(database) == []


CORRUPT = {
    "not JSON": Record(TOPIC, "bad", to_headers(make_event("bad", 1)), b"{"),
    "not an object": Record(TOPIC, "bad", to_headers(make_event("bad", 1)), b"[]"),
    "no headers": Record(TOPIC, "bad", {}, b"{}"),
    "not UTF-8": Record(TOPIC, "bad", to_headers(make_event("bad", 1)), b'{"a":"\xff"}'),
    "no time": Record(TOPIC, "bad", to_headers(make_event("bad", 1)) | {"ce_time": "noon"}, b"{}"),
    "too deep": Record(TOPIC, "bad", to_headers(make_event("bad", 1)), b"[" * 100_000),
    "structured, not an object": Record(TOPIC, "bad", {"content-type": "application/cloudevents+json"}, b"[]"),
    "structured, odd type": Record(
        TOPIC,
        "bad",
        {"content-type": "application/cloudevents+json"},
        b'{"specversion":"1.0","id":"1","source":"s","type":[1],"time":"2026-01-01T00:00:00Z","data":{}}',
    ),
    "structured, odd id": Record(
        TOPIC,
        "bad",
        {"content-type": "application/cloudevents+json"},
        b'{"specversion":"1.0","id":{},"source":"s","type":"%s","time":"2026-01-01T00:00:00Z","data":{}}'
        % TYPE.encode(),
    ),
}


@pytest.mark.parametrize("record", CORRUPT.values(), ids=CORRUPT)
def test_a_corrupt_record_is_parked_and_others_go_on(database: Database, record: Record) -> None:
    Handler(database).consumer.take([*received(events("a-1")), Received(record, 0, 100), *received(events("a-2"), 101)])
    assert effects(database) == ["a-1", "a-2"]
    assert [key for key, _reason in parked(database)] == ["bad"]


def test_types_without_a_handler_are_ignored(database: Database) -> None:
    other = make_event("a", 1, "referral.sealed.v1")
    handler = Handler(database)
    handler.consumer.take(received([other, *events("a-2")]))
    assert handler.calls == ["a-2"]
    assert parked(database) == []


def test_tombstone_is_ignored(database: Database) -> None:
    item = received(events("a-1"))[0]
    Handler(database).consumer.take([replace(item, record=item.record._replace(value=None))])
    assert effects(database) == []
    assert parked(database) == []


def test_a_record_that_is_parked_twice_is_parked_once(database: Database) -> None:
    handler = Handler(database, "a-1")
    for _time in range(2):
        handler.consumer.take(received(events("a-1", "a-2")))
    assert parked(database) == [("a", "Unforeseen"), ("a", BEHIND)]


def test_parked_key_in_one_topic_does_not_stop_another_topic(database: Database) -> None:
    handler = Handler(database, "a-1")
    [broken, later, suspended] = received(events("a-1", "a-2", "a-3"))
    suspended = replace(suspended, record=suspended.record._replace(topic="agencies.v1"))
    handler.consumer.take([broken])
    handler.consumer.take([later, suspended])
    assert effects(database) == ["a-3"]
    assert parked(database) == [("a", "Unforeseen"), ("a", BEHIND)]


def test_many_failures_in_a_row_stop_the_consumer(database: Database) -> None:
    names = [f"k{n}-1" for n in range(MAX_PARKED_IN_A_ROW + 5)]
    with pytest.raises(TooManyFailures):
        Handler(database, *names).consumer.take(received(events(*names)))
    assert len(parked(database)) == MAX_PARKED_IN_A_ROW


def test_followers_and_ignored_types_hide_no_failure_series(
    database: Database,
) -> None:
    """Neither followers of parked events nor types without a handler reset the count of failures."""
    handler = Handler(database, *(f"k{n}-1" for n in range(MAX_PARKED_IN_A_ROW)))
    places = count(1)

    def feed() -> None:
        for number in range(MAX_PARKED_IN_A_ROW):
            unhandled = make_event("other", number, "referral.sealed.v1")
            for event in (*events(f"k{number}-1", f"k{number}-2"), unhandled):
                handler.consumer.take(received([event], first=next(places)))

    with pytest.raises(TooManyFailures):
        feed()


def test_failures_between_successes_do_not_stop_consumer(database: Database) -> None:
    failing = [f"k{n}-1" for n in range(MAX_PARKED_IN_A_ROW + 5)]
    consumer = Handler(database, *failing).consumer
    for place, name in enumerate(failing):
        consumer.take(received(events(name), first=2 * place))
        consumer.take(received(events(f"good-{place}"), first=2 * place + 1))
    assert len(effects(database)) == len(failing)


def test_replay_handles_events_in_order_and_frees_the_key(database: Database) -> None:
    handler = Handler(database, "a-1")
    handler.consumer.take(received(events("a-1", "a-2", "b-1", "a-3")))
    handler.broken.clear()
    assert handler.consumer.replay("a") == 3
    assert effects(database) == ["b-1", "a-1", "a-2", "a-3"]
    assert parked(database) == []
    handler.consumer.take(received(events("a-4"), first=10))
    assert effects(database)[-1] == "a-4"


def test_replay_stops_at_the_first_event_that_still_fails(database: Database) -> None:
    handler = Handler(database, "a-1", "a-3")
    handler.consumer.take(received(events("a-1", "a-2", "a-3", "a-4")))
    handler.broken = {"a-3"}
    assert handler.consumer.replay("a") == 2
    assert effects(database) == ["a-1", "a-2"]
    assert [key for key, _reason in parked(database)] == ["a", "a"]
    handler.broken.clear()
    assert handler.consumer.replay("a") == 2
    assert effects(database) == ["a-1", "a-2", "a-3", "a-4"]


def test_replay_failure_in_one_topic_does_not_stop_another(
    database: Database,
) -> None:
    handler = Handler(database, "a-1", "a-5")
    declared, later = received(events("a-1", "a-2")), received(events("a-5", "a-6"), first=5)
    suspended = [replace(item, record=item.record._replace(topic="agencies.v1")) for item in later]
    handler.consumer.take([declared[0], suspended[0], declared[1], suspended[1]])
    handler.broken = {"a-1"}
    assert handler.consumer.replay("a") == 2
    assert effects(database) == ["a-5", "a-6"]
    assert parked(database) == [("a", "Unforeseen"), ("a", BEHIND)]
    handler.broken.clear()
    assert handler.consumer.replay("a") == 2
    assert effects(database) == ["a-5", "a-6", "a-1", "a-2"]


def test_replayed_event_that_comes_again_takes_effect_once(database: Database) -> None:
    handler = Handler(database, "a-1")
    batch = received(events("a-1", "a-2"))
    handler.consumer.take(batch)
    handler.broken.clear()
    handler.consumer.replay("a")
    handler.consumer.take(batch)
    assert effects(database) == ["a-1", "a-2"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_replay_handles_events_parked_meanwhile(database: Database) -> None:
    worker = make_consumer(database, NoBus())
    worker.handlers = {TYPE: Handler(database, "a-1")}
    [first, second] = received(events("a-1", "a-2"))
    worker.take([first])

    def meanwhile(connection: Connection, event: Event) -> None:
        if event.id == "a-1":
            with ThreadPoolExecutor(1) as pool:
                pool.submit(worker.take, [second]).result(TIMEOUT)
        add_effect(connection, event)

    assert make_consumer(database, NoBus(), meanwhile).replay("a") == 2
    assert effects(database) == ["a-1", "a-2"]
    assert parked(database) == []


def test_replay_handles_events_parked_at_its_very_end(database: Database) -> None:
    """A worker is about to park an event behind the last one that is replayed."""
    worker = make_consumer(database, NoBus())
    worker.handlers = {TYPE: Handler(database, "a-1")}
    [first, second, beside] = received(events("a-1", "a-2", "b-1"))
    worker.take([first])
    parking, replayed = threading.Event(), threading.Event()

    def busy(connection: Connection, event: Event) -> None:
        parking.set()
        replayed.wait(1)
        add_effect(connection, event)

    worker.handlers = {TYPE: busy}
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(worker.take, [second, beside])
        assert parking.wait(TIMEOUT)
        make_consumer(database, NoBus()).replay("a")
        replayed.set()
        taken.result(TIMEOUT)
    assert effects(database) in (["b-1", "a-1", "a-2"], ["a-1", "b-1", "a-2"])
    assert parked(database) == []


def test_replaying_a_key_that_is_not_parked_does_nothing(database: Database) -> None:
    assert Handler(database).consumer.replay("a") == 0


def test_the_inbox_remembers_longer_than_any_topic_keeps() -> None:
    kept = [timedelta(milliseconds=topic.retention_ms) for topic in topics().values() if topic.retention_ms]
    assert max(kept) < INBOX_DAYS


def test_inbox_forgets_events_only_after_that_time(database: Database) -> None:
    handler, clock = Handler(database), StillClock()
    handler.consumer.clock = clock
    handler.consumer.take(received(events("a-1")))
    for by, effects_after in ((INBOX_DAYS, ["a-1"]), (timedelta(seconds=1), ["a-1", "a-1"])):
        clock.move(by)
        handler.consumer.forget_old()
        handler.consumer.take(received(events("a-1")))
        assert effects(database) == effects_after


class Interrupted(Exception):
    """The process ends here."""


class CutOff:
    """A bus whose consumers end the process in place of their first commit."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def producer(self) -> Producer:
        return self._broker.producer()

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        return CutOffConsumer(self._broker.consumer(group, topics))

    def sync_topics(self) -> Mapping[str, str]:
        return self._broker.sync_topics()

    def missing_topics(self) -> Sequence[str]:
        return self._broker.missing_topics()


class CutOffConsumer:
    def __init__(self, consumer: Consumer) -> None:
        self.poll, self.close = consumer.poll, consumer.close

    def commit(self) -> None:
        raise Interrupted


def put(broker: Broker, sent: Iterable[Event]) -> None:
    with closing(broker.producer()) as producer:
        records = [Record(TOPIC, event.key, to_headers(event), to_value(event)) for event in sent]
        assert all(producer.send(records).acknowledged(TIMEOUT))


def consume(
    database: Database,
    broker: Broker,
    service: str,
    until: str,
    handle: Callable[[Connection, Event], None] = add_effect,
) -> EventConsumer:
    """Run a consumer until an event took effect, or until it raises an error."""
    stopping = threading.Event()

    def watched(connection: Connection, event: Event) -> None:
        handle(connection, event)
        if event.id == until:
            stopping.set()

    consumer = make_consumer(database, broker, watched)
    consumer.service = service
    consumer.run(stopping)
    return consumer


@pytest.fixture
def service() -> str:
    """Return a name of a service that no test has used yet: a Kafka group outlives its topics."""
    return f"consumer-{next(_services)}"


def test_crash_before_the_offset_repeats_events_not_effects(database: Database, broker: Broker, service: str) -> None:
    put(broker, events("a-1", "a-2"))
    with pytest.raises(Interrupted):
        consume(database, CutOff(broker), service, until="never")
    assert effects(database) == ["a-1", "a-2"]
    came: list[str] = []
    with closing(broker.consumer(f"fireweed-{service}", [TOPIC])) as witness:
        while len(came) < 2:
            came += [item.record.headers["ce_id"] for item in witness.poll(0.5)]
    assert came == ["a-1", "a-2"]
    put(broker, events("a-3"))
    consume(database, broker, service, until="a-3")
    assert effects(database) == ["a-1", "a-2", "a-3"]


def test_a_crash_before_the_database_loses_nothing(database: Database, broker: Broker, service: str) -> None:
    put(broker, events("a-1", "a-2"))

    def fail(_connection: Connection, _event: Event) -> None:
        raise Transient

    with pytest.raises(Transient):
        consume(database, broker, service, "never", fail)
    consume(database, broker, service, until="a-2")
    assert effects(database) == ["a-1", "a-2"]


def test_consumer_resumes_where_the_last_one_stopped(database: Database, broker: Broker, service: str) -> None:
    put(broker, events("a-1"))
    consume(database, broker, service, until="a-1")
    put(broker, events("a-2"))
    handled: list[str] = []
    consume(database, broker, service, "a-2", lambda _connection, event: handled.append(event.id))
    assert handled == ["a-2"]


def test_consumer_raises_while_the_bus_is_down(database: Database) -> None:
    with pytest.raises(BrokerUnavailable):
        make_consumer(database, NoBus()).run(threading.Event())


def add_effects(events: Sequence[Event], connection: Connection) -> None:
    for event in events:
        add_effect(connection, event)


def bus_of(database: Database, *batches: Sequence[Event]) -> tuple[BatchBus, list[int]]:
    """A bus that delivers these batches, and records the number of effects at each commit of offsets."""
    firsts = accumulate(map(len, batches), initial=1)
    noted: list[int] = []
    placed = [received(batch, first) for batch, first in zip(batches, firsts, strict=False)]
    return BatchBus(placed, on_commit=lambda: noted.append(len(effects(database)))), noted


def many(batch: int) -> list[Event]:
    return [make_event(f"k{number % 7}", batch * 1000 + number) for number in range(WORTH_READING_AHEAD)]


def test_large_batches_take_effect_before_their_offsets(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """They also take effect in order."""
    batches = [many(0), many(1), many(2)[:3], many(3)]
    bus, noted = bus_of(database, *batches)
    take_together = EventConsumer._take_together

    def slowly(consumer: EventConsumer, batch: Sequence[Received], read: Batch | None = None) -> None:
        # Long enough for a small batch to overtake a large one, if that were possible.
        threading.Event().wait(0.1 if len(batch) >= WORTH_READING_AHEAD else 0)
        take_together(consumer, batch, read)

    monkeypatch.setattr(EventConsumer, "_take_together", slowly)
    make_consumer(database, bus).run(bus.stopping)
    assert effects(database) == [event.id for batch in batches for event in batch]
    assert noted[-1] == sum(map(len, batches))


def test_next_large_batch_is_read_while_one_is_handled(database: Database) -> None:
    second_read, in_time = threading.Event(), list[bool]()

    def fold(events: Sequence[Event]) -> Act:
        first = events[0].id == many(0)[0].id
        if not first:
            second_read.set()

        def act(connection: Connection) -> None:
            if first:
                in_time.append(second_read.wait(TIMEOUT))
            add_effects(events, connection)

        return act

    bus, _ = bus_of(database, many(0), many(1))
    consumer = make_consumer(database, bus)
    consumer.folds, consumer.handlers = {TYPE: fold}, {}
    consumer.run(bus.stopping)
    assert in_time == [True]
    assert effects(database) == [event.id for batch in (many(0), many(1)) for event in batch]


def test_outage_stops_later_batches_and_commits_no_offset(database: Database) -> None:
    outage = Handler(database, many(0)[5].id, error=Transient)
    bus, noted = bus_of(database, many(0), many(1), many(2))
    outage.consumer.broker = bus
    with pytest.raises(Transient):
        outage.consumer.run(bus.stopping)
    assert effects(database) == []
    assert noted == []


def test_large_batch_parks_only_unreadable_events(database: Database) -> None:
    bus, _ = bus_of(database, many(0), many(1))
    record = bus.batches[0][3].record
    broken = replace(bus.batches[0][3], record=record._replace(value=b"{"))
    bus.batches[0] = [*bus.batches[0][:3], broken, *bus.batches[0][4:]]
    make_consumer(database, bus).run(bus.stopping)
    key = record.key
    assert effects(database) == [event.id for event in [*many(0), *many(1)] if event.key != key]
    assert parked(database)[0] == (key, "ValueError")


def test_a_fold_gets_a_batch_at_once_and_needs_no_inbox(database: Database) -> None:
    batches: list[list[str]] = []

    def fold(events: Sequence[Event]) -> Act:
        batches.append([event.id for event in events])
        return partial(add_effects, events)

    consumer = make_consumer(database, NoBus())
    consumer.folds, consumer.handlers = {TYPE: fold}, {}
    events = [make_event("a", 1), make_event("b", 1), make_event("a", 2)]
    consumer.take(received(events))
    consumer.take(received(events[:1]))
    # A repeated event is folded again: a fold itself must tolerate that.
    assert batches == [["a-1", "b-1", "a-2"], ["a-1"]]
    assert effects(database) == ["a-1", "b-1", "a-2", "a-1"]


def test_folds_and_handlers_share_one_transaction(
    database: Database,
) -> None:
    """An event that cannot be folded is parked."""

    def fold(events: Sequence[Event]) -> Act:
        def act(connection: Connection) -> None:
            for event in events:
                add_effect(connection, event)
                if event.key == "bad":
                    raise Unforeseen

        return act

    consumer = make_consumer(database, NoBus())
    consumer.folds = {"need.counted.v1": fold}
    handled, good, bad = (
        make_event("a", 1),
        make_event("b", 1, "need.counted.v1"),
        make_event("bad", 1, "need.counted.v1"),
    )
    consumer.take(received([handled, good, bad]))
    assert sorted(effects(database)) == ["a-1", "b-1"]
    assert parked(database) == [("bad", "Unforeseen")]
