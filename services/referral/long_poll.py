"""Lets requests for a feed wait for its next entry, without a thread or a database connection for each of them."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from starlette.concurrency import run_in_threadpool

from services.common.clock import monotonic
from services.common.errors import Problem

LOOK_SECONDS = 0.2
GONE_SECONDS = 1.0
MOST_WAITING = 4
"""Requests of one agency that may wait at once, in each process."""
Lasts = Callable[[Sequence[str]], Mapping[str, int]]


class Waiting:
    """The waiting requests of one process. One task asks for all of them together whether something came.

    `lasts` returns the number of the last entry of each agency.
    """

    def __init__(self, lasts: Lasts) -> None:
        self._lasts = lasts
        self._waiters: defaultdict[str, dict[asyncio.Event, int]] = defaultdict(dict)
        self._asking: asyncio.Task[None] | None = None

    async def wait(
        self, agency: str, after: int, seconds: float, gone: Callable[[], Awaitable[bool]] | None = None
    ) -> None:
        """Return when an agency's feed has an entry after a number, after some seconds, or once `gone` says yes.

        Raises a 429 problem if too many requests of the agency wait already.
        """
        mine, came = self._waiters[agency], asyncio.Event()
        if len(mine) >= MOST_WAITING:
            raise Problem(
                429,
                "too-many-waiting",
                "Too many of your requests wait for the feed already. One is enough.",
                headers={"Retry-After": "1"},
            )
        mine[came] = after
        try:
            self._ask()
            await _until(came, monotonic() + seconds, gone)
        finally:
            del mine[came]
            if not mine:
                self._waiters.pop(agency, None)

    def _ask(self) -> None:
        task = self._asking
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            self._asking = asyncio.create_task(self._keep_asking())

    async def _keep_asking(self) -> None:
        while self._waiters:
            try:
                lasts = await run_in_threadpool(self._lasts, list(self._waiters))
            except Exception:  # noqa: BLE001 - each of them finds out, and answers, what is wrong
                lasts = None
            for agency, mine in self._waiters.items():
                for came, after in mine.items():
                    if lasts is None or lasts.get(agency, 0) > after:
                        came.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), LOOK_SECONDS)


async def _until(came: asyncio.Event, deadline: float, gone: Callable[[], Awaitable[bool]] | None) -> None:
    while not came.is_set() and (left := deadline - monotonic()) > 0:
        with suppress(TimeoutError):
            await asyncio.wait_for(came.wait(), min(left, GONE_SECONDS))
        if gone is not None and await gone():
            return
