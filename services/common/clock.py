"""The only source of time and of identifiers, so that tests can control both."""

import time
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID, uuid4

from uuid_utils.compat import uuid7


class Clock(Protocol):
    """The time and the identifiers that a service needs."""

    def now(self) -> datetime:
        """Return the present time in UTC."""
        ...

    def new_id(self) -> UUID:
        """Return a new UUIDv7 (RFC 9562): unique, and roughly in order of creation."""
        ...

    def new_random_id(self) -> UUID:
        """Return a new UUIDv4, which does not tell when it was made."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present time in UTC."""
        return datetime.now(UTC)

    def new_id(self) -> UUID:
        """Return a new UUIDv7."""
        return uuid7()

    def new_random_id(self) -> UUID:
        """Return a new UUIDv4."""
        return uuid4()


def monotonic() -> float:
    """Return the seconds on a clock that never goes back; for measuring waits, never for dates."""
    return time.monotonic()


def pause(seconds: float) -> None:
    """Sleep for some seconds; no other function of the services sleeps."""
    time.sleep(seconds)
