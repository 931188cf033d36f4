"""The local log and Apache Kafka both implement the broker interface."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import count

import pytest

from services.common.messaging.broker import Broker, Producer, Received, Record
from services.common.messaging.topics import topics
from tests.support.hubs import eventually
from tests.support.plumbing import take

TIMEOUT = 20.0
TOPIC, OTHER = "referrals.v1", "services.v1"
_groups = count(1)


@pytest.fixture
def producer(broker: Broker) -> Iterator[Producer]:
    with closing(broker.producer()) as made:
        yield made


@pytest.fixture
def group() -> str:
    """Return a name of a group that no test has used yet: a Kafka group outlives its topics."""
    return f"group-{next(_groups)}"


def make_records(amount: int, keys: int = 1, topic: str = TOPIC) -> list[Record]:
    return [Record(topic, f"key-{n % keys}", {"n": str(n)}, str(n).encode()) for n in range(amount)]


def send(producer: Producer, records: Sequence[Record]) -> None:
    assert list(producer.send(records).acknowledged(TIMEOUT)) == [True] * len(records)


def values(received: Sequence[Received]) -> list[bytes | None]:
    return [item.record.value for item in received]


def values_of(records: Sequence[Record]) -> list[bytes | None]:
    return [record.value for record in records]


def test_records_of_one_key_arrive_in_order(broker: Broker, producer: Producer, group: str) -> None:
    send(producer, make_records(30, keys=3))
    with closing(broker.consumer(group, [TOPIC])) as consumer:
        received = take(consumer, 30)
    for key in range(3):
        numbers = [item.record.headers["n"] for item in received if item.record.key == f"key-{key}"]
        assert numbers == [str(n) for n in range(key, 30, 3)]


def test_several_sends_in_flight_keep_the_order_of_a_key(broker: Broker, producer: Producer, group: str) -> None:
    records = make_records(300)
    pending = [producer.send(records[n : n + 30]) for n in range(0, 300, 30)]
    assert all(all(one.acknowledged(TIMEOUT)) for one in pending)
    with closing(broker.consumer(group, [TOPIC])) as consumer:
        assert values(take(consumer, 300)) == values_of(records)


def test_more_records_than_one_poll_holds_arrive_once(broker: Broker, producer: Producer, group: str) -> None:
    records = make_records(2500)
    send(producer, records)
    with closing(broker.consumer(group, [TOPIC])) as consumer:
        assert values(take(consumer, 2500)) == values_of(records)
        assert list(consumer.poll(0.3)) == []


def test_a_new_group_reads_from_the_oldest_record(broker: Broker, producer: Producer, group: str) -> None:
    send(producer, make_records(3))
    with closing(broker.consumer(group, [TOPIC])) as consumer:
        assert values(take(consumer, 3)) == [b"0", b"1", b"2"]


def test_a_group_reads_every_topic_it_asked_for(broker: Broker, producer: Producer, group: str) -> None:
    send(producer, [*make_records(2), *make_records(2, topic=OTHER), *make_records(2, topic="consents.v1")])
    with closing(broker.consumer(group, [TOPIC, OTHER])) as consumer:
        received = take(consumer, 4)
        assert list(consumer.poll(0.3)) == []
    assert sorted((item.record.topic, item.record.value) for item in received) == [
        (TOPIC, b"0"),
        (TOPIC, b"1"),
        (OTHER, b"0"),
        (OTHER, b"1"),
    ]


def test_group_resumes_after_its_last_commit(broker: Broker, producer: Producer, group: str) -> None:
    """It reads again the records that were not committed."""
    records = make_records(6)
    send(producer, records[:3])
    with closing(broker.consumer(group, [TOPIC])) as consumer:
        take(consumer, 3)
        consumer.commit()
        send(producer, records[3:5])
        take(consumer, 2)
    with closing(broker.consumer(group, [TOPIC])) as successor:
        assert values(take(successor, 2)) == [b"3", b"4"]
        successor.commit()
    send(producer, records[5:])
    with closing(broker.consumer(group, [TOPIC])) as successor:
        assert values(take(successor, 1)) == [b"5"]


def test_a_commit_covers_only_what_was_polled(broker: Broker, producer: Producer, group: str) -> None:
    with closing(broker.consumer(group, [TOPIC])) as consumer:
        assert list(consumer.poll(0.3)) == []
        send(producer, make_records(2))
        consumer.commit()
    with closing(broker.consumer(group, [TOPIC])) as successor:
        assert values(take(successor, 2)) == [b"0", b"1"]


def test_groups_do_not_affect_each_other(broker: Broker, producer: Producer, group: str) -> None:
    send(producer, make_records(3))
    for name in (f"{group}-a", f"{group}-b"):
        with closing(broker.consumer(name, [TOPIC])) as consumer:
            assert values(take(consumer, 3)) == [b"0", b"1", b"2"]
            consumer.commit()


def test_headers_and_bytes_come_out_as_they_went_in(broker: Broker, producer: Producer, group: str) -> None:
    records = [
        Record(TOPIC, "key", {"plain": "a", "french": "été – œuvre", "empty": ""}, "Montréal ❄".encode()),
        Record(TOPIC, "key", {}, b""),
        Record(TOPIC, "key", {"size": "200 kB"}, bytes(range(256)) * 800),
        Record(TOPIC, "clé", {}, b"a key need not be ASCII"),
    ]
    send(producer, records)
    with closing(broker.consumer(group, [TOPIC])) as consumer:
        received = take(consumer, 4)
    arrived = sorted((item.record for item in received), key=lambda record: (record.key, len(record.value or b"")))
    assert arrived == sorted(records, key=lambda record: (record.key, len(record.value or b"")))


def test_a_tombstone_arrives_as_one(broker: Broker, producer: Producer, group: str) -> None:
    send(producer, [Record("agencies.v1", "agency-a", {"n": "1"}, None)])
    with closing(broker.consumer(group, ["agencies.v1"])) as consumer:
        assert take(consumer, 1)[0].record == Record("agencies.v1", "agency-a", {"n": "1"}, None)


def test_offsets_rise_within_a_partition(broker: Broker, producer: Producer, group: str) -> None:
    send(producer, make_records(20))
    with closing(broker.consumer(group, [TOPIC])) as consumer:
        received = take(consumer, 20)
    places = [(item.partition, item.offset) for item in received]
    assert places == sorted(set(places))


def test_a_poll_with_nothing_to_read_comes_back_empty(broker: Broker, group: str) -> None:
    began = time.monotonic()
    with closing(broker.consumer(group, [TOPIC])) as consumer:
        assert list(consumer.poll(0.3)) == []
    assert time.monotonic() - began < TIMEOUT


def test_a_waiting_poll_gets_what_is_sent_meanwhile(broker: Broker, producer: Producer, group: str) -> None:
    with closing(broker.consumer(group, [TOPIC])) as consumer:
        sending = threading.Timer(0.2, send, [producer, make_records(1)])
        sending.start()
        assert values(consumer.poll(TIMEOUT)) == [b"0"]
        sending.join()


def test_acknowledgement_covers_each_record(producer: Producer) -> None:
    assert list(producer.send(make_records(7)).acknowledged(TIMEOUT)) == [True] * 7
    assert list(producer.send([]).acknowledged(TIMEOUT)) == []


def test_topics_can_be_synced_again_and_again(broker: Broker) -> None:
    broker.sync_topics()
    eventually(lambda: not broker.missing_topics())
    assert broker.sync_topics() == dict.fromkeys(topics(), "present")
