"""One relay at a time sends rows in order, and deletes only acknowledged rows."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from deploy.testing.kafka import KafkaServer
from services.common.database.engine import Database
from services.common.messaging import relay as relay_module
from services.common.messaging.broker import Broker, BrokerUnavailable, Consumer, Pending, Producer, Record
from services.common.messaging.kafka import KafkaBroker
from services.common.messaging.local_log import LocalLog
from services.common.messaging.outbox import make_queue
from services.common.messaging.relay import Relay
from tests.support.clocks import NOON
from tests.support.hubs import eventually
from tests.support.plumbing import TOPIC, ChoosyProducer, add_events, make_event, metadata, plumbing, waiting
from tests.support.server_failures import end_sessions, frozen

only_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
TIMEOUT = 20.0


@pytest.fixture(autouse=True)
def tables(database: Database) -> None:
    metadata.create_all(database.engine)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LocalLog]:
    with closing(LocalLog(tmp_path / "log.sqlite")) as made:
        yield made


@pytest.fixture
def relay(database: Database, log: LocalLog) -> Relay:
    return make_relay(database, log)


def make_relay(database: Database, broker: Broker) -> Relay:
    return Relay("test", database, plumbing.outbox, broker, 0.01)


@contextmanager
def running(relay: Relay) -> Iterator[threading.Event]:
    """Run a relay in a thread, as a worker does; its error is raised at the end."""
    stopping = threading.Event()

    def run() -> None:
        while not stopping.is_set():
            relay.run(stopping)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        try:
            yield stopping
        finally:
            stopping.set()
    future.result()


def read(broker: Broker, amount: int, group: str = "group") -> list[str]:
    found: list[str] = []
    with closing(broker.consumer(group, [TOPIC])) as consumer:

        def all_came() -> bool:
            found.extend(item.record.headers["ce_id"] for item in consumer.poll(0.5))
            return len(found) >= amount

        eventually(all_came)
    return found


def test_added_events_arrive_in_order_and_are_removed(database: Database, broker: Broker) -> None:
    add_events(database, [make_event("a", number) for number in range(50)])
    with closing(broker.producer()) as producer:
        assert make_relay(database, broker).pass_on(producer) == 50
    assert waiting(database) == []
    assert read(broker, 50, f"relay-{database.engine.dialect.name}") == [f"a-{number}" for number in range(50)]


def test_empty_outbox_sends_nothing(relay: Relay) -> None:
    producer = ChoosyProducer()
    assert relay.pass_on(producer) == 0
    assert producer.steps == []


def test_a_record_carries_topic_key_headers_and_data_of_its_row(database: Database, relay: Relay) -> None:
    add_events(database, [make_event("a", 7, "capacity.declared.v1")])
    producer = ChoosyProducer()
    relay.pass_on(producer)
    record = producer.took[0]
    assert (record.topic, record.key, record.value) == ("services.v1", "a", b'{"number":7}')
    assert record.headers["ce_type"] == "capacity.declared.v1"
    assert record.headers["content-type"] == "application/json"


def test_only_acknowledged_rows_are_removed(database: Database, relay: Relay) -> None:
    add_events(database, [make_event(key, 1) for key in "abc"])
    with pytest.raises(BrokerUnavailable):
        relay.pass_on(ChoosyProducer(lambda record: record.key == "b"))
    assert waiting(database) == ["b-1"]


def test_once_an_event_of_a_key_failed_its_later_ones_stay_too(database: Database, relay: Relay) -> None:
    add_events(database, [make_event(key, number) for number in (1, 2, 3) for key in "ab"])
    with pytest.raises(BrokerUnavailable):
        relay.pass_on(ChoosyProducer(lambda record: record.headers["ce_id"] == "a-2"))
    assert waiting(database) == ["a-2", "a-3"]
    producer = ChoosyProducer()
    relay.pass_on(producer)
    assert producer.ids == ["a-2", "a-3"]


def test_failed_key_holds_back_its_events_in_the_next_batch(
    database: Database, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That batch is already being sent."""
    monkeypatch.setattr(relay_module, "BATCH", 2)
    add_events(database, [make_event("a", 1), make_event("b", 1), make_event("a", 2), make_event("b", 2)])
    with pytest.raises(BrokerUnavailable):
        relay.pass_on(ChoosyProducer(lambda record: record.headers["ce_id"] == "a-1"))
    assert waiting(database) == ["a-1", "a-2", "b-2"]


def test_nothing_is_removed_when_the_bus_goes_down_while_sending(database: Database, relay: Relay) -> None:
    add_events(database, [make_event("a", 1)])

    def go_down() -> None:
        raise BrokerUnavailable

    with pytest.raises(BrokerUnavailable):
        relay.pass_on(ChoosyProducer(on_send=go_down))
    assert waiting(database) == ["a-1"]


def test_at_most_two_batches_are_under_way(database: Database, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is awaited while the next is sent."""
    monkeypatch.setattr(relay_module, "BATCH", 10)
    add_events(database, [make_event("a", number) for number in range(25)])

    def settle(number: int) -> None:
        if number < 3:
            eventually(lambda: f"send {number + 1}" in producer.steps)

    producer = ChoosyProducer(on_settle=settle)
    assert relay.pass_on(producer) == 25
    assert producer.steps == ["send 1", "send 2", "settle 1", "send 3", "settle 2", "settle 3"]
    assert producer.ids == [f"a-{number}" for number in range(25)]


def test_more_than_a_batch_leaves_in_one_pass(database: Database, relay: Relay) -> None:
    amount = 2 * relay_module.BATCH + 1
    add_events(database, [make_event("a", number) for number in range(amount)])
    producer = ChoosyProducer()
    assert relay.pass_on(producer) == amount
    assert producer.ids == [f"a-{number}" for number in range(amount)]
    assert waiting(database) == []


@only_postgresql
def test_page_of_a_backlog_is_read_without_sorting(
    database: Database, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL believes the outbox to be empty and would sort all of it."""
    monkeypatch.setattr(relay_module, "BATCH", 100)
    events = [make_event("a", number) for number in range(2000)]
    add_events(database, events)
    for statement in ("ANALYZE outbox", "DELETE FROM outbox", "VACUUM (TRUNCATE false) outbox"):
        with database.single() as connection:
            connection.exec_driver_sql(statement)
    add_events(database, events)
    before, after, pages = rows_touched(database), 0, 0
    while rows := relay._page(after):
        after, pages = rows[-1].id, pages + 1
    assert pages == 20
    assert rows_touched(database) - before < 2 * 2000


def rows_touched(database: Database) -> int:
    """Return how many rows of the outbox PostgreSQL has read; sessions report this when they end."""
    database.close()
    with database.reading() as connection:
        eventually(lambda: not connection.scalar(text(OTHERS)))
        return int(connection.scalar(text(TOUCHED)) or 0)


OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
TOUCHED = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'outbox'"


@only_postgresql
def test_late_commit_with_a_lower_number_is_not_lost(database: Database, relay: Relay) -> None:
    producer = ChoosyProducer()
    with database.transaction() as slow:
        plumbing.outbox.add(slow, [make_event("slow", 1)], NOON)
        add_events(database, [make_event("quick", 1)])
        assert relay.pass_on(producer) == 1
    assert relay.pass_on(producer) == 1
    assert producer.ids == ["quick-1", "slow-1"]
    assert waiting(database) == []


@only_postgresql
def test_late_commit_between_sent_rows_is_not_removed(database: Database, relay: Relay) -> None:
    """It stays until it was sent itself."""
    add_events(database, [make_event("first", 1)])
    slow = database.engine.connect()
    transaction = slow.begin()
    plumbing.outbox.add(slow, [make_event("slow", 1)], NOON)
    add_events(database, [make_event("last", 1)])
    producer = ChoosyProducer(on_send=transaction.commit)
    assert relay.pass_on(producer) == 2
    slow.close()
    assert waiting(database) == ["slow-1"]
    producer.on_send = lambda: None
    relay.pass_on(producer)
    assert producer.ids == ["first-1", "last-1", "slow-1"]


def test_a_running_relay_carries_what_is_added_meanwhile(database: Database, log: LocalLog, relay: Relay) -> None:
    with running(relay):
        add_events(database, [make_event("a", 1)])
        assert read(log, 1) == ["a-1"]
        add_events(database, [make_event("a", 2)])
        assert read(log, 2, "another group") == ["a-1", "a-2"]
        eventually(lambda: not waiting(database))


@only_postgresql
def test_new_row_wakes_the_relay_before_its_next_poll(database: Database, log: LocalLog) -> None:
    with database.transaction() as connection:
        make_queue(connection)
    relay, stopping = replace(make_relay(database, log), interval=TIMEOUT), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(relay.run, stopping)
        for number in (1, 2):
            eventually(lambda: sleeps_on_outbox(database))
            add_events(database, [make_event("a", number)])
            eventually(lambda: not waiting(database), TIMEOUT / 2)
        stopping.set()
        add_events(database, [make_event("a", 3)])
    future.result()


def sleeps_on_outbox(database: Database) -> bool:
    """Tell whether an idle session waits for notifications of new rows."""
    with database.reading() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN outbox' AND datname = current_database()"
        return bool(connection.exec_driver_sql(query).scalar_one())


@only_postgresql
def test_a_second_relay_stands_by_until_the_first_is_gone(
    database: Database, log: LocalLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "STANDBY_SECONDS", 0.05)
    first, second = Listening(log), Listening(log)
    with running(make_relay(database, first)) as stop_first:
        add_events(database, [make_event("a", 1)])
        eventually(lambda: not waiting(database))
        with running(make_relay(database, second)):
            add_events(database, [make_event("a", 2)])
            eventually(lambda: not waiting(database))
            assert (first.sent, second.sent) == (["a-1", "a-2"], [])
            stop_first.set()
            add_events(database, [make_event("a", 3)])
            eventually(lambda: not waiting(database))
    assert sorted(first.sent + second.sent) == ["a-1", "a-2", "a-3"]
    assert read(log, 3) == ["a-1", "a-2", "a-3"]


class Listening:
    """The local log, recording the records that one relay sends."""

    def __init__(self, log: LocalLog) -> None:
        self._log = log
        self.sent: list[str] = []

    def producer(self) -> Producer:
        return self

    def send(self, records: Sequence[Record]) -> Pending:
        self.sent += [record.headers["ce_id"] for record in records]
        return self._log.producer().send(records)

    def close(self) -> None:
        """Do nothing, since no resources are held."""

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        return self._log.consumer(group, topics)

    def sync_topics(self) -> Mapping[str, str]:
        return self._log.sync_topics()

    def missing_topics(self) -> Sequence[str]:
        return self._log.missing_topics()


@only_postgresql
def test_relay_with_lost_lock_stops_with_an_outage(database: Database, database_url: str, relay: Relay) -> None:
    stopping = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(relay.run, stopping)
        add_events(database, [make_event("a", 1)])
        eventually(lambda: not waiting(database))
        end_sessions(database_url)
        with pytest.raises(OperationalError):
            future.result(TIMEOUT)


@pytest.mark.backend("kafka")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_suspended_kafka_is_an_outage_and_loses_nothing(
    database: Database, kafka_server: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "ACKNOWLEDGE_SECONDS", 0.5)
    kafka_server.empty_topics()
    broker = KafkaBroker(kafka_server.bootstrap)
    relay, stopping = make_relay(database, broker), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(relay.run, stopping)
        add_events(database, [make_event("a", 1)])
        eventually(lambda: not waiting(database))
        with frozen(kafka_server):
            add_events(database, [make_event("a", number) for number in range(2, 5)])
            with pytest.raises(BrokerUnavailable):
                future.result(TIMEOUT)
            assert waiting(database) == ["a-2", "a-3", "a-4"]
    with running(relay):
        eventually(lambda: not waiting(database))
    # Events that were being sent when the bus was suspended may come twice, but never after their successors.
    arrived = list(dict.fromkeys(read(broker, 4, "relay-standstill")))
    assert arrived == ["a-1", "a-2", "a-3", "a-4"]
