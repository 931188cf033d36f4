"""What the hub asks of a message bus; `kafka_broker` and `local_log` both keep this promise, under one test suite.

A broker keeps records of one key in order within a topic, hands every record to each consumer group at least once, and
resumes a group after the last offsets it committed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class BrokerUnavailable(Exception):
    """The bus cannot be reached just now; what was to be sent or read is still safe where it is."""


class Record(NamedTuple):
    """One message on its way to a topic. A `value` of None removes the key from a compacted topic."""

    topic: str
    key: str
    headers: Mapping[str, str]
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Received:
    """One message as a consumer gets it, with its place in the log."""

    record: Record
    partition: int
    offset: int


class Pending(Protocol):
    """Records on their way to the broker."""

    def acknowledged(self, timeout: float) -> Sequence[bool]:
        """Wait at most `timeout` seconds; tell for each record, in order, whether the broker surely has it."""
        ...


class Producer(Protocol):
    """Puts records on the bus."""

    def send(self, records: Sequence[Record]) -> Pending:
        """Start to send; several sends may be in flight, and records of one key stay in order."""
        ...

    def close(self) -> None:
        """Let go of the connection; what is not yet acknowledged may or may not have arrived."""
        ...


class Consumer(Protocol):
    """Reads topics as a member of a group."""

    def poll(self, timeout: float) -> Sequence[Received]:
        """The next records, waiting at most `timeout` seconds for the first; an empty list when none came."""
        ...

    def commit(self) -> None:
        """Note that everything polled so far is done; a new member of the group starts after it."""
        ...

    def close(self) -> None:
        """Leave the group without committing."""
        ...


class Broker(Protocol):
    """A bus to which producers and consumers connect."""

    def producer(self) -> Producer:
        """A new producer; raises `BrokerUnavailable` while the bus is down."""
        ...

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """A new member of `group` reading `topics` from the oldest record kept; raises `BrokerUnavailable`."""
        ...

    def sync_topics(self) -> Mapping[str, str]:
        """Make every topic of the contract exist as described; tell per topic what was done."""
        ...

    def missing_topics(self) -> Sequence[str]:
        """Topics of the contract that the bus lacks or holds with other partitions."""
        ...
