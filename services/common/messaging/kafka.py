"""Implements the broker interface with Apache Kafka; no other module imports kafka-python."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import CommitFailedError, KafkaError, TopicAlreadyExistsError
from kafka.net.compat import KafkaNetClient
from kafka.partitioner import Partitioner, murmur2
from kafka.structs import OffsetAndMetadata

from services.common.clock import monotonic
from services.common.messaging.broker import BrokerUnavailable, Received, Record
from services.common.messaging.topics import Topic, topics

BOOTSTRAP_SECONDS = 5
LONGEST_KEY = 64
"""Longer than any key of the hub."""


class KafkaBroker:
    """A Kafka cluster, reached through `bootstrap`, a comma-separated list of `host:port`.

    A consumer that is silent for `session` seconds loses its partitions to the other members of its group.
    """

    def __init__(self, bootstrap: str, *, replication: int = -1, session: float = 10.0) -> None:
        self._servers = bootstrap.split(",")
        self._replication = replication
        self._session = session

    def producer(self) -> "KafkaSender":
        """Return a new idempotent producer; raises `BrokerUnavailable`."""
        return KafkaSender(self._servers)

    def consumer(self, group: str, topics: Sequence[str]) -> "KafkaReader":
        """Return a new member of a classic consumer group; raises `BrokerUnavailable`."""
        return KafkaReader(self._servers, group, topics, self._session)

    def sync_topics(self) -> Mapping[str, str]:
        """Create missing topics; existing topics keep their partitions, since changing them would move keys."""
        with self._admin() as admin, _unavailable_on_error():
            present = set(admin.list_topics())
            return {
                name: "created" if name not in present and self._create(admin, name, topic) else "present"
                for name, topic in topics().items()
            }

    def missing_topics(self) -> Sequence[str]:
        """Return the topics that are absent or have another number of partitions."""
        with self._admin() as admin, _unavailable_on_error():
            present = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics()}
        return [name for name, topic in topics().items() if present.get(name) != topic.partitions]

    def _admin(self) -> Any:
        with _connecting() as connect:
            return KafkaAdminClient(
                bootstrap_servers=self._servers,
                bootstrap_timeout_ms=BOOTSTRAP_SECONDS * 1000,
                kafka_client=connect,
            )

    def _create(self, admin: Any, name: str, topic: Topic) -> bool:
        creation = {
            "num_partitions": topic.partitions,
            "replication_factor": self._replication,
            "configs": dict(topic.settings),
        }
        try:
            admin.create_topics({name: creation})
        except TopicAlreadyExistsError:
            return False  # another process created it, or the list was out of date
        return True


class KafkaSender:
    """A producer that pipelines: it hands all records over before it waits for any of them."""

    def __init__(self, servers: Sequence[str]) -> None:
        with _connecting() as connect:
            self._producer = KafkaProducer(
                bootstrap_servers=servers,
                bootstrap_timeout_ms=BOOTSTRAP_SECONDS * 1000,
                kafka_client=connect,
                partitioner=_ByKey(),
                metrics_enabled=False,  # nobody reads them, and they are computed again for each batch
                # linger 0 with a large batch: a lone event leaves at once, and under load batches form while
                # requests are in flight. Measured at 17,800 records a second against 10,400 with linger 5 ms.
                linger_ms=0,
                batch_size=256 * 1024,
                # Far longer than the relay waits before it closes the producer: if one record expired by itself, a later
                # record of its key could still be sent and so overtake it.
                delivery_timeout_ms=120_000,
                request_timeout_ms=10_000,
                max_block_ms=5_000,
                allow_auto_create_topics=False,
            )

    def send(self, records: Sequence[Record]) -> "KafkaPending":
        """Hand records to the sender thread; raises `BrokerUnavailable`."""
        send = self._producer.send
        try:
            futures = [
                send(topic, key=key.encode(), value=value, headers=_encode(headers))
                for topic, key, headers, value in records
            ]
        except KafkaError as error:
            raise BrokerUnavailable(type(error).__name__) from error
        return KafkaPending(futures)

    def close(self) -> None:
        """Close without waiting for a broker that may be gone."""
        # By itself, close() first waits for unsent records, and gives up when that takes too long: the sender thread would
        # live on and send beside its successor. So the thread is closed first.
        self._producer._sender.force_close()  # noqa: SLF001 - there is no public way
        with suppress(KafkaError):
            self._producer.close(timeout=1)


class _ByKey(Partitioner):  # type: ignore[misc]  # kafka-python has no types
    """Chooses the same partition for a key as the default partitioner, without reading the list of partitions each time."""

    # The hash in Python takes 6 microseconds for a UUID; keys such as the ids of agencies are repeated often.
    _hash = staticmethod(lru_cache(10_000)(murmur2))

    def partition(
        self, topic: str, _key: object, serialized_key: bytes, _value: object, _sent: object, cluster: Any
    ) -> int:
        partition: int = (self._hash(serialized_key) & 0x7FFFFFFF) % len(cluster.partitions_for_topic(topic))
        return partition


class KafkaPending:
    """The futures of one send."""

    def __init__(self, futures: Sequence[Any]) -> None:
        self._futures = futures

    def acknowledged(self, timeout: float) -> Sequence[bool]:
        """Wait until one deadline for all records; a record counts only if its own future has succeeded."""
        deadline = monotonic() + timeout
        for future in self._futures:
            if not future.is_done:
                try:
                    future.get(timeout=max(deadline - monotonic(), 0.001))
                except KafkaError:
                    continue
        return [future.succeeded() for future in self._futures]


class KafkaReader:
    """A consumer that commits only on request, and only the records that were polled."""

    def __init__(self, servers: Sequence[str], group: str, topics: Sequence[str], session: float) -> None:
        with _connecting() as connect:
            self._consumer = KafkaConsumer(
                *topics,
                bootstrap_servers=servers,
                bootstrap_timeout_ms=BOOTSTRAP_SECONDS * 1000,
                kafka_client=connect,
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",  # the default would skip what was sent before the first start
                max_poll_records=1000,
                allow_auto_create_topics=False,
                session_timeout_ms=int(session * 1000),
                heartbeat_interval_ms=int(session * 1000 / 3),
                metadata_max_age_ms=30_000,
            )
        self._polled: dict[TopicPartition, OffsetAndMetadata] = {}

    def poll(self, timeout: float) -> Sequence[Received]:
        """Return records of all assigned partitions, in order within a partition."""
        with _unavailable_on_error():
            batches = self._consumer.poll(timeout_ms=int(timeout * 1000))
        received = [_received(record) for batch in batches.values() for record in batch]
        for partition, batch in batches.items():
            self._polled[partition] = OffsetAndMetadata(batch[-1].offset + 1, "", -1)
        return received

    def commit(self) -> None:
        """Commit the offsets after the polled records; a partition lost meanwhile is read again by its new owner."""
        # The offsets of a partition that has moved meanwhile are committed by its new owner.
        mine = self._consumer.assignment()
        done = {partition: reached for partition, reached in self._polled.items() if partition in mine}
        self._polled = {}
        if not done:
            return
        try:
            self._consumer.commit(done)
        except CommitFailedError:
            pass
        except KafkaError as error:
            raise BrokerUnavailable(type(error).__name__) from error

    def close(self) -> None:
        """Leave the group at once, so that its partitions move on."""
        self._consumer.close(autocommit=False, timeout_ms=2000)


@contextmanager
def _connecting() -> Iterator[Callable[..., KafkaNetClient]]:
    """Yield a factory for the connections of a client; raises `BrokerUnavailable` for errors of Kafka.

    When kafka-python reaches no broker it leaves a thread and sockets open, at each attempt during an outage; they are
    closed here.
    """
    made: list[KafkaNetClient] = []

    def connect(**options: Any) -> KafkaNetClient:
        made.append(KafkaNetClient(**options))
        return made[-1]

    try:
        yield connect
    except KafkaError as error:
        for client in made:
            client.close()
        raise BrokerUnavailable(type(error).__name__) from error


class _unavailable_on_error:  # noqa: N801 - reads as a statement
    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, KafkaError):
            raise BrokerUnavailable(type(error).__name__) from error


def _encode(headers: Mapping[str, str]) -> list[tuple[str, bytes]]:
    return list(zip(headers, map(str.encode, headers.values()), strict=True))


def _received(record: Any) -> Received:
    headers = {name: _decode(value) for name, value in record.headers}
    return Received(Record(record.topic, _key(record.key), headers, record.value), record.partition, record.offset)


def _key(value: bytes | None) -> str:
    # A key that the database cannot store could not even be parked, and would stop all events of its service.
    return _decode(value).replace("\0", "\\x00")[:LONGEST_KEY]


def _decode(value: bytes | None) -> str:
    # A record that is not text must not stop its whole partition: it is decoded with escapes, and is then parked.
    return (value or b"").decode(errors="backslashreplace")
