"""Finds publications by name for the pages, reads each once, and caches what is made of their bytes.

The list of publications and what services declare are at most a second old. All of it is public, and browsers keep a
page for minutes anyway.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Generic, TypeVar

from services.common.clock import monotonic
from services.common.errors import not_found
from services.common.fiscal_periods import end_of
from services.reporting.pages import published_table
from services.reporting.pages.data_source import DataSource, Live, Release
from services.reporting.pages.published_table import Table

# A page is about 30 kB; frozen bytes never change, so what is made of them is made once.
KEPT = 1024
# How many results made of live facts are kept: a page and a file, in each language, for the current facts and the last.
KEPT_LIVE = 8
RECENT_SECONDS = 1.0
Releases = tuple[Release, ...]
Found = TypeVar("Found")


class Recent(Generic[Found]):
    """Caches a result for a second; returns the identical object as long as an equal one is found."""

    def __init__(self, find: Callable[[], Found], now: Callable[[], float]) -> None:
        self._find, self._now = find, now
        self._last: tuple[float, Found] | None = None

    def __call__(self) -> Found:
        """Return the result, at most a second old."""
        last = self._last
        return last[1] if last and self._now() - last[0] < RECENT_SECONDS else self.refresh()

    def refresh(self) -> Found:
        """Return the current result, and cache it."""
        now, found, last = self._now(), self._find(), self._last
        found = last[1] if last and last[1] == found else found
        self._last = now, found
        return found


class Holdings:
    """The publications that pages and files are made of. It can reach nothing but a data source of published files."""

    def __init__(self, source: DataSource, now: Callable[[], float] = monotonic) -> None:
        self._source = source
        self._releases = lru_cache(1)(self._read)
        self.releases = Recent(lambda: self._releases(tuple(source.standing())), now)
        self.live = Recent(source.live, now)
        self.file: Callable[[Release, str], bytes] = lru_cache(KEPT)(self._file)
        self.table: Callable[[Release, str], Table] = lru_cache(KEPT)(self._table)
        self._kept = lru_cache(KEPT)(self._make)
        self._kept_live = lru_cache(KEPT_LIVE)(self._make)

    def make(self, maker: Callable[..., bytes], *about: object) -> bytes:
        """Return what `maker` makes of these holdings and of the other arguments; made once."""
        return self._kept(maker, *about)

    def make_live(self, maker: Callable[..., bytes], live: Live, *about: object) -> bytes:
        """Return what `maker` makes of these holdings and of live facts; made once for equal facts."""
        return self._kept_live(maker, live, *about)

    def _read(self, _standing: tuple[tuple[str, str], ...]) -> Releases:
        return tuple(self._source.releases())

    def _make(self, maker: Callable[..., bytes], *about: object) -> bytes:
        return maker(self, *about)

    def _table(self, release: Release, name: str) -> Table:
        return published_table.read(self.file(release, f"tables/{name}.json"))

    def _file(self, release: Release, name: str) -> bytes:
        """Return one published file; raise 404 if it is not published."""
        content = self._source.file(release.id, name)
        if content is None:
            raise not_found()
        return content


def find(releases: Releases, publication: str) -> Release:
    """Return a publication by its name; raise 404 if there is none."""
    for release in releases:
        if release.id == publication:
            return release
    raise not_found()


def latest(releases: Sequence[Release]) -> Release | None:
    """Return the newest publication of the period that ended last; a later revision of an earlier period does not count."""
    return max(reversed(releases), key=lambda each: end_of(each.period), default=None)


def history(releases: Releases, release: Release) -> Sequence[Release]:
    """Return a publication and those before it of its kind, by period: for each period the one that stood at that time."""
    until = releases[: releases.index(release) + 1]
    standing = {each.period: each for each in until if each.kind == release.kind}
    return [standing[period] for period in sorted(standing)]


def revision(releases: Releases, release: Release) -> Release | None:
    """Return the publication that replaced this one, or None."""
    later = releases[releases.index(release) + 1 :]
    return next((each for each in reversed(later) if each.revises == release.period), None)
