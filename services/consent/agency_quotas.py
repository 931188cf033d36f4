"""Limits for each agency: its share of the openings at once, and its budget of refused openings.

Kept in memory of one process. An agency's own acts alone decide about its share and its budget, so that a refusal by these
tells it nothing about a survivor.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from math import ceil
from threading import Lock

from services.common.clock import Clock
from services.common.errors import Problem, unavailable

FORGIVEN_PER_SECOND = 1.0


class SharedPlaces:
    """Places for work that runs at once. The agency that holds many is refused first, so that others always find one.

    An agency gets one more place only while it holds less than half as many as are free: alone a third of all, and less the
    more agencies want some.
    """

    def __init__(self, number: int) -> None:
        self._free, self._held, self._lock = number, Counter[str](), Lock()

    @property
    def free(self) -> int:
        """The number of places that nobody holds."""
        return self._free

    @contextmanager
    def hold(self, agency: str) -> Iterator[None]:
        """Hold a place for an agency; raise a 503 problem if it gets none now."""
        with self._lock:
            if 2 * self._held[agency] >= self._free:
                raise unavailable("Too many boxes are being opened. Please try again in a moment.", 1)
            self._held[agency] += 1
            self._free -= 1
        try:
            yield
        finally:
            with self._lock:
                self._free += 1
                self._held[agency] -= 1
                self._held += Counter()  # drops the counts that are zero


class RefusalBudget:
    """Refused openings that each agency may still ask for: a number at once, of which one comes back each second.

    A batch is answered whole, so an agency may end up below nothing; it then waits for longer.
    """

    def __init__(self, clock: Clock, most: int) -> None:
        self._clock, self._most = clock, most
        self._left: dict[str, tuple[float, datetime]] = {}
        self._lock = Lock()

    def check(self, agency: str) -> None:
        """Raise a 429 problem if nothing is left, whatever the agency asks to open now."""
        with self._lock:
            left = self._now_left(agency, self._clock.now())
        if left < 1:
            raise Problem(
                429,
                "too-many-refusals",
                "Too many of your openings were refused. Please wait a little.",
                headers={"Retry-After": str(ceil((1 - left) / FORGIVEN_PER_SECOND))},
            )

    def spend(self, agency: str, refused: int) -> None:
        """Take refused openings from the agency's budget."""
        now = self._clock.now()
        with self._lock:
            self._left[agency] = (self._now_left(agency, now) - refused, now)

    def _now_left(self, agency: str, now: datetime) -> float:
        left, since = self._left.get(agency, (float(self._most), now))
        return min(self._most, left + max(0.0, (now - since).total_seconds()) * FORGIVEN_PER_SECOND)
