"""Ends a connection whose client asks and then does not read the answer."""

import asyncio
from collections.abc import Callable

from services.common.clock import monotonic

WRITE_SECONDS = 30.0
LEAST_TAKEN = 4096
"""Bytes of its answers that a client has to take in each `WRITE_SECONDS` while some are waiting for it."""

PAUSE_SECONDS = 1.0
"""After so long without waiting bytes, measuring starts anew."""


class Progress:
    """Measures how many bytes a client takes while the kernel takes no more of them. Calls `cut` if they are too few.

    `waiting` returns the number of bytes that process and kernel keep for it. None are added while the kernel takes no more.
    """

    def __init__(self, waiting: Callable[[], int], cut: Callable[[], None]) -> None:
        self._waiting, self._cut = waiting, cut
        self._timer: asyncio.TimerHandle | None = None
        self._is_blocked = False
        self._left = self._taken = 0
        self._since = self._unblocked = 0.0

    @property
    def blocked_since(self) -> float | None:
        """The monotonic time since which the client has taken too little so far; None if nothing waits for it."""
        return self._since if self._is_blocked else None

    def block(self) -> None:
        """Start to measure, since the kernel takes no more bytes."""
        self._is_blocked, self._left = True, self._waiting()
        if self._timer is None or monotonic() - self._unblocked > PAUSE_SECONDS:
            self._begin()

    def unblock(self) -> None:
        """Note that the kernel takes bytes again. Measuring goes on, since the next answer may wait in the same way."""
        self._count()
        self._is_blocked, self._unblocked = False, monotonic()

    def end(self) -> None:
        """Stop measuring."""
        if self._timer:
            self._timer.cancel()

    def _begin(self) -> None:
        self.end()
        self._taken, self._since = 0, monotonic()
        self._timer = asyncio.get_running_loop().call_later(WRITE_SECONDS, self._check)

    def _check(self) -> None:
        self._timer = None
        if not self._is_blocked:
            return
        self._count()
        if self._taken < LEAST_TAKEN:
            self._cut()
        else:
            self._begin()

    def _count(self) -> None:
        before, self._left = self._left, self._waiting()
        self._taken += before - self._left
