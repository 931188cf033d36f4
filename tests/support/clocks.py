"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.common.clock import SystemClock

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


class StillClock:
    """Keeps to one instant; its ids are new as ever."""

    def __init__(self, now: datetime = NOON) -> None:
        self._now = now

    def now(self) -> datetime:
        """The instant it was set to."""
        return self._now

    def new_id(self) -> UUID:
        """A new UUIDv7."""
        return SystemClock().new_id()

    def move(self, by: timedelta) -> None:
        """Go on by so much."""
        self._now += by
