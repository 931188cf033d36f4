"""Publications as pages use them: found by name, read once, and what is made of their bytes kept as long as there is room.

Nothing kept here opens anything: which publications stand is asked of the shelf for each page, and a file comes from it.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from services.common.clock import monotonic
from services.common.errors import not_found
from services.reporting.pages import bundle
from services.reporting.pages.bundle import Table
from services.reporting.pages.shelf import Live, Release, Shelf

# A page is about 30 kB; nothing that is made from frozen bytes ever changes, so making it twice would be waste.
KEPT = 1024
# What is made of live facts is made anew when they change: a page and a file, in each language, as they are and as they were.
KEPT_LIVE = 8
LIVE_SECONDS = 1.0
Releases = tuple[Release, ...]


class Holdings:
    """What pages are given. All that it can reach is a shelf of published files."""

    def __init__(self, shelf: Shelf, now: Callable[[], float] = monotonic) -> None:
        self._shelf, self._now = shelf, now
        self._read = lru_cache(1)(self._releases)
        self._look: tuple[float, Live] | None = None
        self.table: Callable[[Release, str], Table] = lru_cache(KEPT)(self._table)
        self._kept = lru_cache(KEPT)(self._make)
        self._kept_live = lru_cache(KEPT_LIVE)(self._make)

    def releases(self) -> Releases:
        """Every publication, in the order in which they came out."""
        return self._read(tuple(self._shelf.standing()))

    def live(self) -> Live:
        """What services declare, as it was at most a second ago."""
        last = self._look
        return last[1] if last and self._now() - last[0] < LIVE_SECONDS else self.look()

    def look(self) -> Live:
        """What services declare, now; the very same as at the last look if they declare nothing else."""
        now, live, last = self._now(), self._shelf.live(), self._look
        live = last[1] if last and last[1] == live else live
        self._look = now, live
        return live

    def make(self, maker: Callable[..., bytes], *about: object) -> bytes:
        """What `maker` makes of these holdings and of what it is about; made once."""
        return self._kept(maker, *about)

    def make_live(self, maker: Callable[..., bytes], live: Live, *about: object) -> bytes:
        """The same for what also depends on live facts."""
        return self._kept_live(maker, live, *about)

    def _releases(self, _standing: tuple[tuple[str, str], ...]) -> Releases:
        return tuple(self._shelf.releases())

    def _make(self, maker: Callable[..., bytes], *about: object) -> bytes:
        return maker(self, *about)

    def _table(self, release: Release, name: str) -> Table:
        return bundle.read(self.file(release.id, f"tables/{name}.json"))

    def file(self, publication: str, name: str) -> bytes:
        """One published file; raises a 404 problem for whatever is not published."""
        content = self._shelf.file(publication, name)
        if content is None:
            raise not_found()
        return content


def find(releases: Releases, publication: str) -> Release:
    """A publication by its name; raises a 404 problem if there is none."""
    for release in releases:
        if release.id == publication:
            return release
    raise not_found()


def history(releases: Releases, release: Release) -> Sequence[Release]:
    """A publication and those before it of its kind, by period; of each period the one that stood then."""
    until = releases[: releases.index(release) + 1]
    standing = {each.period: each for each in until if each.kind == release.kind}
    return [standing[period] for period in sorted(standing)]


def revision(releases: Releases, release: Release) -> Release | None:
    """The publication that came in its place, if there is one."""
    later = releases[releases.index(release) + 1 :]
    return next((each for each in reversed(later) if each.revises == release.period), None)
