"""A clock for tests: it stands still until a test moves it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.common.clock import SystemClock

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


class StillClock:
    """Returns one instant; its ids are new each time."""

    def __init__(self, now: datetime = NOON) -> None:
        self._now = now

    def now(self) -> datetime:
        """Return the instant it was set to."""
        return self._now

    def new_id(self) -> UUID:
        """Return a new UUIDv7."""
        return SystemClock().new_id()

    def new_random_id(self) -> UUID:
        """Return a new UUIDv4."""
        return SystemClock().new_random_id()

    def move(self, by: timedelta) -> None:
        """Move the clock forward (or back)."""
        self._now += by
