"""Behaviour of Apache Kafka alone: an absent or suspended broker, and records of other writers."""

import gc
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from uuid import UUID

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource

from deploy.testing.kafka import KafkaServer
from deploy.testing.ports import free_port
from services.common.database.engine import Database
from services.common.messaging import kafka as kafka_module
from services.common.messaging import relay
from services.common.messaging.broker import BrokerUnavailable, Record
from services.common.messaging.kafka import KafkaBroker
from services.common.messaging.topics import topics
from tests.support.hubs import eventually
from tests.support.plumbing import effects, make_consumer, make_event, metadata, parked, received, take
from tests.support.server_failures import frozen

TIMEOUT = 20.0
TOPIC = "referrals.v1"
_groups = count(1)
on_kafka = pytest.mark.backend("kafka")
unreachable = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def kafka(kafka_server: KafkaServer) -> KafkaBroker:
    kafka_server.empty_topics()
    return KafkaBroker(kafka_server.bootstrap)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[KafkaBroker]:
    """Return a broker at an address where nothing listens, with a short timeout."""
    # kafka-python leaves the socket of a refused connection to the garbage collector, which then warns. A stored log record
    # would keep the socket alive until a later test gets the warning.
    caplog.set_level(logging.CRITICAL, "kafka")
    monkeypatch.setattr(kafka_module, "BOOTSTRAP_SECONDS", 0.2)
    yield KafkaBroker(f"127.0.0.1:{free_port()}")
    gc.collect()


def attempts(broker: KafkaBroker) -> list[Callable[[], object]]:
    return [broker.producer, lambda: broker.consumer("group", [TOPIC]), broker.missing_topics, broker.sync_topics]


@unreachable
@pytest.mark.parametrize("attempt", range(4), ids=["producer", "consumer", "missing topics", "sync topics"])
def test_absent_broker_raises_and_leaves_nothing_running(nobody: KafkaBroker, attempt: int) -> None:
    before = threading.active_count()
    with pytest.raises(BrokerUnavailable):
        attempts(nobody)[attempt]()
    assert threading.active_count() == before


@on_kafka
def test_missing_topic_is_named_and_created_again(kafka: KafkaBroker, kafka_server: KafkaServer) -> None:
    eventually(lambda: not kafka.missing_topics())  # a broker learns of new topics a moment after the controller
    remove_topic(kafka_server, "services.v1")
    eventually(lambda: list(kafka.missing_topics()) == ["services.v1"])
    assert kafka.sync_topics() == {name: "created" if name == "services.v1" else "present" for name in topics()}
    eventually(lambda: not kafka.missing_topics())


@on_kafka
def test_topic_with_other_partitions_counts_as_missing(kafka: KafkaBroker, kafka_server: KafkaServer) -> None:
    """It is not changed."""
    remove_topic(kafka_server, "services.v1")
    with KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap) as admin:
        admin.create_topics({"services.v1": {"num_partitions": 1, "replication_factor": 1}})
    eventually(lambda: kafka.sync_topics()["services.v1"] == "present")
    # A broker tells of topics that were just made anew a moment later.
    eventually(lambda: list(kafka.missing_topics()) == ["services.v1"])


def remove_topic(server: KafkaServer, name: str) -> None:
    with KafkaAdminClient(bootstrap_servers=server.bootstrap) as admin:
        admin.delete_topics([name])
        eventually(lambda: name not in admin.list_topics())


@on_kafka
def test_topics_are_made_as_the_contract_describes_them(kafka: KafkaBroker, kafka_server: KafkaServer) -> None:
    eventually(lambda: not kafka.missing_topics())  # a broker learns of new topics a moment after the controller
    with KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap) as admin:
        told = admin.describe_configs([ConfigResource("TOPIC", name) for name in topics()])["topic"]
    for name, topic in topics().items():
        assert {setting: told[name][setting]["value"] for setting in topic.settings} == topic.settings


@on_kafka
def test_topics_can_be_synced_by_several_at_once(kafka: KafkaBroker, kafka_server: KafkaServer) -> None:
    for name in topics():
        remove_topic(kafka_server, name)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: kafka.sync_topics(), range(4)))
    assert all(set(one) == set(topics()) for one in done)
    eventually(lambda: not kafka.missing_topics())


@on_kafka
def test_suspended_broker_acknowledges_nothing(kafka: KafkaBroker, kafka_server: KafkaServer) -> None:
    with closing(kafka.producer()) as producer:
        assert list(producer.send([Record(TOPIC, "key", {}, b"first")]).acknowledged(TIMEOUT)) == [True]
        with frozen(kafka_server):
            pending = producer.send([Record(TOPIC, "key", {}, b"second")] * 2)
            assert list(pending.acknowledged(0.3)) == [False, False]
        assert list(pending.acknowledged(TIMEOUT)) == [True, True]


@on_kafka
def test_producer_closes_while_the_broker_is_suspended(kafka: KafkaBroker, kafka_server: KafkaServer) -> None:
    producer = kafka.producer()
    producer.send([Record(TOPIC, "key", {}, b"first")]).acknowledged(TIMEOUT)
    with frozen(kafka_server):
        pending = producer.send([Record(TOPIC, "key", {}, b"second")])
        producer.close()
        assert list(pending.acknowledged(0)) == [False]


@on_kafka
def test_record_does_not_expire_before_the_relay_gives_up(kafka: KafkaBroker) -> None:
    with closing(kafka.producer()) as producer:
        assert producer._producer.config["delivery_timeout_ms"] > 2000 * relay.ACKNOWLEDGE_SECONDS


@on_kafka
def test_consumer_returns_and_closes_at_a_suspended_broker(kafka: KafkaBroker, kafka_server: KafkaServer) -> None:
    with closing(kafka.producer()) as producer:
        producer.send([Record(TOPIC, "key", {}, b"first")]).acknowledged(TIMEOUT)
    consumer = kafka.consumer(f"kafka-only-{next(_groups)}", [TOPIC])
    take(consumer, 1)
    with frozen(kafka_server):
        assert list(consumer.poll(0.3)) == []
        consumer.close()


@on_kafka
def test_key_has_the_partition_of_any_other_client(kafka: KafkaBroker, kafka_server: KafkaServer) -> None:
    keys = ["", "clé ❄", *("x" * length for length in range(1, 40)), *(str(UUID(int=n << 90)) for n in range(40))]
    stranger = KafkaProducer(bootstrap_servers=kafka_server.bootstrap)
    sent = {key: stranger.send(TOPIC, key=key.encode(), value=b"1") for key in keys}
    theirs = {key: future.get(TIMEOUT).partition for key, future in sent.items()}
    stranger.close()
    with closing(kafka.producer()) as producer:
        assert all(producer.send([Record(TOPIC, key, {}, b"2") for key in keys]).acknowledged(TIMEOUT))
    with closing(kafka.consumer(f"kafka-only-{next(_groups)}", [TOPIC])) as consumer:
        ours = {item.record.key: item.partition for item in take(consumer, 2 * len(keys)) if item.record.value == b"2"}
    assert ours == theirs
    assert len(set(theirs.values())) == topics()[TOPIC].partitions


@on_kafka
def test_a_record_that_is_not_text_does_not_stop_the_reader(kafka: KafkaBroker, kafka_server: KafkaServer) -> None:
    stranger = KafkaProducer(bootstrap_servers=kafka_server.bootstrap)
    stranger.send(TOPIC, key=b"\xff", value=b"1", headers=[("ce_id", b"\xfe")])
    stranger.send(TOPIC, key=None, value=b"2")
    stranger.flush(TIMEOUT)
    stranger.close()
    with closing(kafka.consumer(f"kafka-only-{next(_groups)}", [TOPIC])) as consumer:
        arrived = {item.record.value: item.record for item in take(consumer, 2)}
    assert arrived[b"1"] == Record(TOPIC, "\\xff", {"ce_id": "\\xfe"}, b"1")
    assert arrived[b"2"].key == ""


@on_kafka
def test_foreign_record_with_any_key_is_parked(
    database: Database, kafka: KafkaBroker, kafka_server: KafkaServer
) -> None:
    """The hub's own records are handled."""
    metadata.create_all(database.engine)
    stranger = KafkaProducer(bootstrap_servers=kafka_server.bootstrap)
    for key in (b"a\0b", b"\xff" * 17, b"k" * 1000):
        stranger.send(TOPIC, key=key, value=b"no event")
    stranger.flush(TIMEOUT)
    stranger.close()
    with closing(kafka.consumer(f"kafka-only-{next(_groups)}", [TOPIC])) as consumer:
        strange = take(consumer, 3)
    make_consumer(database, kafka).take([*strange, *received([make_event("a", 1)])])
    assert effects(database) == ["a-1"]
    assert sorted(key for key, _reason in parked(database)) == ["\\xff" * 16, "a\\x00b", "k" * 64]
