"""Publications as pages use them: found by name, read once, and what is made of their bytes kept as long as there is room.

Which publications stand, and what services declare, is known as it was at most a second ago. All of it is for everybody, and
whoever has read a page may keep it for minutes anyway.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Generic, TypeVar

from services.common.clock import monotonic
from services.common.errors import not_found
from services.common.fiscal_periods import end_of
from services.reporting.pages import published_table
from services.reporting.pages.data_source import Live, Release, DataSource
from services.reporting.pages.published_table import Table

# A page is about 30 kB; nothing that is made from frozen bytes ever changes, so making it twice would be waste.
KEPT = 1024
# What is made of live facts is made anew when they change: a page and a file, in each language, as they are and as they were.
KEPT_LIVE = 8
RECENT_SECONDS = 1.0
Releases = tuple[Release, ...]
Found = TypeVar("Found")


class Recent(Generic[Found]):
    """What was found at most a second ago; the very same as long as nothing else is found."""

    def __init__(self, find: Callable[[], Found], now: Callable[[], float]) -> None:
        self._find, self._now = find, now
        self._last: tuple[float, Found] | None = None

    def __call__(self) -> Found:
        """As it was at most a second ago."""
        last = self._last
        return last[1] if last and self._now() - last[0] < RECENT_SECONDS else self.look()

    def look(self) -> Found:
        """As it is now."""
        now, found, last = self._now(), self._find(), self._last
        found = last[1] if last and last[1] == found else found
        self._last = now, found
        return found


class Holdings:
    """What pages are given. All that it can reach is a shelf of published files."""

    def __init__(self, shelf: DataSource, now: Callable[[], float] = monotonic) -> None:
        self._shelf = shelf
        self._releases = lru_cache(1)(self._read)
        self.releases = Recent(lambda: self._releases(tuple(shelf.standing())), now)
        self.live = Recent(shelf.live, now)
        self.file: Callable[[Release, str], bytes] = lru_cache(KEPT)(self._file)
        self.table: Callable[[Release, str], Table] = lru_cache(KEPT)(self._table)
        self._kept = lru_cache(KEPT)(self._make)
        self._kept_live = lru_cache(KEPT_LIVE)(self._make)

    def make(self, maker: Callable[..., bytes], *about: object) -> bytes:
        """What `maker` makes of these holdings and of what it is about; made once."""
        return self._kept(maker, *about)

    def make_live(self, maker: Callable[..., bytes], live: Live, *about: object) -> bytes:
        """The same for what also depends on live facts."""
        return self._kept_live(maker, live, *about)

    def _read(self, _standing: tuple[tuple[str, str], ...]) -> Releases:
        return tuple(self._shelf.releases())

    def _make(self, maker: Callable[..., bytes], *about: object) -> bytes:
        return maker(self, *about)

    def _table(self, release: Release, name: str) -> Table:
        return published_table.read(self.file(release, f"tables/{name}.json"))

    def _file(self, release: Release, name: str) -> bytes:
        """One published file; raises a 404 problem for whatever is not published."""
        content = self._shelf.file(release.id, name)
        if content is None:
            raise not_found()
        return content


def find(releases: Releases, publication: str) -> Release:
    """A publication by its name; raises a 404 problem if there is none."""
    for release in releases:
        if release.id == publication:
            return release
    raise not_found()


def latest(releases: Sequence[Release]) -> Release | None:
    """The publication of the period that ended last, as it stands; an earlier one that was revised since is no news."""
    return max(reversed(releases), key=lambda each: end_of(each.period), default=None)


def history(releases: Releases, release: Release) -> Sequence[Release]:
    """A publication and those before it of its kind, by period; of each period the one that stood then."""
    until = releases[: releases.index(release) + 1]
    standing = {each.period: each for each in until if each.kind == release.kind}
    return [standing[period] for period in sorted(standing)]


def revision(releases: Releases, release: Release) -> Release | None:
    """The publication that came in its place, if there is one."""
    later = releases[releases.index(release) + 1 :]
    return next((each for each in reversed(later) if each.revises == release.period), None)
