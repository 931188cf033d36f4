"""Waiting for the feed: until an entry comes, bounded per agency, with one question for all who wait."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

import pytest

from services.common.clock import monotonic
from services.common.errors import Problem
from services.referral.long_poll import LOOK_SECONDS, MOST_WAITING, Waiting


class Feeds:
    """Last numbers of feeds, as a test sets them, and the questions that were asked."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        self.asked: list[Sequence[str]] = []
        self.down = False

    def __call__(self, agencies: Sequence[str]) -> Mapping[str, int]:
        self.asked.append(agencies)
        if self.down:
            raise OSError
        return {agency: number for agency, number in self.last.items() if agency in agencies}


@pytest.fixture
def feeds() -> Feeds:
    return Feeds()


def test_wait_ends_as_soon_as_an_entry_has_come(feeds: Feeds) -> None:
    async def play() -> float:
        waiting = Waiting(feeds)
        task = asyncio.create_task(waiting.wait("one", 3, 20))
        feeds.last = {"one": 3, "two": 9}
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert not task.done()
        began = monotonic()
        feeds.last = {"one": 4}
        await task
        return monotonic() - began

    assert asyncio.run(play()) < 2


def test_wait_ends_after_its_seconds(feeds: Feeds) -> None:
    began = monotonic()
    asyncio.run(Waiting(feeds).wait("one", 0, 0.3))
    assert 0.3 <= monotonic() - began < 2


def test_all_who_wait_share_one_question(feeds: Feeds) -> None:
    async def play() -> None:
        waiting = Waiting(feeds)
        agencies = [f"agency{number}" for number in range(50)]
        await asyncio.gather(*[waiting.wait(agency, 0, 3 * LOOK_SECONDS) for agency in agencies])

    asyncio.run(play())
    assert len(feeds.asked) <= 5
    assert len(feeds.asked[1]) == 50


def test_one_agency_has_few_places_and_takes_no_other(feeds: Feeds) -> None:
    async def play() -> None:
        waiting = Waiting(feeds)
        tasks = [asyncio.create_task(waiting.wait("one", 0, 20)) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Problem) as caught:
            await waiting.wait("one", 0, 20)
        assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "1")
        await waiting.wait("two", 0, 0.01)
        tasks[0].cancel()
        with suppress(asyncio.CancelledError):
            await tasks[0]
        await waiting.wait("one", 0, 0.01)
        feeds.last = {"one": 1}
        await asyncio.gather(*tasks[1:])

    asyncio.run(play())


def test_wait_ends_when_its_caller_has_gone(feeds: Feeds) -> None:
    async def gone() -> bool:
        return True

    began = monotonic()
    asyncio.run(Waiting(feeds).wait("one", 0, 20, gone))
    assert monotonic() - began < 5


def test_outage_of_the_database_ends_the_wait(feeds: Feeds) -> None:
    """The route then reads the feed, and answers what is wrong."""
    feeds.down = True
    began = monotonic()
    asyncio.run(Waiting(feeds).wait("one", 0, 20))
    assert monotonic() - began < 2


def test_waiting_works_again_in_another_event_loop(feeds: Feeds) -> None:
    waiting = Waiting(feeds)
    feeds.last = {"one": 1}
    for _ in range(2):
        began = monotonic()
        asyncio.run(waiting.wait("one", 0, 20))
        assert monotonic() - began < 2


def test_nothing_is_asked_once_nobody_waits(feeds: Feeds) -> None:
    async def play() -> int:
        await Waiting(feeds).wait("one", 0, 0.05)
        await asyncio.sleep(2 * LOOK_SECONDS)
        before = len(feeds.asked)
        await asyncio.sleep(2 * LOOK_SECONDS)
        return len(feeds.asked) - before

    assert asyncio.run(play()) == 0
