"""The interface of a message bus; `kafka` and `local_log` implement it, under one test suite.

A broker keeps records of one key in order within a topic, hands every record to each consumer group at least once, and
resumes a group after the last offsets it committed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class BrokerUnavailable(Exception):
    """The bus cannot be reached at present; no event is lost, whether it was to be sent or to be read."""


class Record(NamedTuple):
    """One message for a topic. A `value` of None removes the key from a compacted topic."""

    topic: str
    key: str
    headers: Mapping[str, str]
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Received:
    """One message from a consumer, with its place in the log."""

    record: Record
    partition: int
    offset: int


class Pending(Protocol):
    """Records that were sent and may not be acknowledged yet."""

    def acknowledged(self, timeout: float) -> Sequence[bool]:
        """Wait at most `timeout` seconds; return for each record, in order, whether the broker has acknowledged it."""
        ...


class Producer(Protocol):
    """Sends records to the bus."""

    def send(self, records: Sequence[Record]) -> Pending:
        """Start to send records; several sends may be in flight, and records of one key stay in order."""
        ...

    def close(self) -> None:
        """Close the connection; records that are not yet acknowledged may or may not have arrived."""
        ...


class Consumer(Protocol):
    """Reads topics as a member of a group."""

    def poll(self, timeout: float) -> Sequence[Received]:
        """Return the next records; wait at most `timeout` seconds for the first. Without one the list is empty."""
        ...

    def commit(self) -> None:
        """Store that everything polled so far is done; a new member of the group starts after it."""
        ...

    def close(self) -> None:
        """Leave the group without committing."""
        ...


class Broker(Protocol):
    """A message bus to which producers and consumers connect."""

    def producer(self) -> Producer:
        """Return a new producer; raises `BrokerUnavailable` while the bus is down."""
        ...

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Return a member of a group for `topics`; a new group starts at the oldest record. Raises `BrokerUnavailable`."""
        ...

    def sync_topics(self) -> Mapping[str, str]:
        """Create the missing topics of the contract; return by topic what was done."""
        ...

    def missing_topics(self) -> Sequence[str]:
        """Return the topics of the contract that are missing or have another number of partitions."""
        ...
