"""The only source of time and of identifiers, so that tests can hold both still."""

import time
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from uuid_utils.compat import uuid7


class Clock(Protocol):
    """What a room needs to know of time."""

    def now(self) -> datetime:
        """The present instant, in UTC."""
        ...

    def new_id(self) -> UUID:
        """A new UUIDv7 (RFC 9562): unique, and roughly in order of creation."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present instant, in UTC."""
        return datetime.now(UTC)

    def new_id(self) -> UUID:
        """A new UUIDv7."""
        return uuid7()


def monotonic() -> float:
    """Seconds on a clock that never goes back; for measuring waits, never for dates."""
    return time.monotonic()


def pause(seconds: float) -> None:
    """Wait; the one place that sleeps."""
    time.sleep(seconds)
