"""Publications as pages use them: found by name, read once, and what is made of their bytes kept as long as there is room."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from services.common.errors import not_found
from services.reporting.pages import bundle
from services.reporting.pages.bundle import Table
from services.reporting.pages.shelf import Release, Shelf

# A page is about 30 kB; nothing that is made from frozen bytes ever changes, so making it twice would be waste.
KEPT = 1024
Releases = tuple[Release, ...]


class Holdings:
    """What pages are given. All that it can reach is a shelf of published files."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.table: Callable[[Release, str], Table] = lru_cache(KEPT)(self._table)
        self._kept = lru_cache(KEPT)(self._make)

    def releases(self) -> Releases:
        """Every publication, in the order in which they came out."""
        return tuple(self.shelf.releases())

    def make(self, maker: Callable[..., bytes], *about: object) -> bytes:
        """What `maker` makes of these holdings and of what it is about; made once."""
        return self._kept(maker, *about)

    def _make(self, maker: Callable[..., bytes], *about: object) -> bytes:
        return maker(self, *about)

    def _table(self, release: Release, name: str) -> Table:
        return bundle.read(self.file(release.id, f"tables/{name}.json"))

    def file(self, publication: str, name: str) -> bytes:
        """One published file; raises a 404 problem for whatever is not published."""
        content = self.shelf.file(publication, name)
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
