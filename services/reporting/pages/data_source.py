"""Everything that pages may know: frozen bytes of publications, and what services declare; not how they are stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Release:
    """The public facts of a publication."""

    id: str
    period: str
    plan: int
    rules: int
    revises: str | None
    files: tuple[str, ...]
    bundle: str
    published_at: datetime

    @property
    def tables(self) -> tuple[str, ...]:
        """Return the names of its tables."""
        return tuple(name.removeprefix("tables/").removesuffix(".json") for name in self.files)

    @property
    def kind(self) -> str:
        """Return `quarter` or `year`, the kind of its period."""
        return "quarter" if "-Q" in self.period else "year"


class Free(NamedTuple):
    """The sums that all programmes of one need in one region declare; `as_of` is the oldest of their statements."""

    region: str
    need: str
    unit: str
    available: int
    total: int
    programs: int
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Live:
    """The declarations of services, how many of the active agencies have declared something, and how many there are."""

    free: tuple[Free, ...]
    declared: int
    agencies: int

    def __hash__(self) -> int:
        # Hundreds of rows are left out of the hash: a cache compares equal hashes anyway.
        return hash((self.declared, self.agencies, len(self.free)))


class DataSource(Protocol):
    """Where pages read publications and live facts."""

    def standing(self) -> Sequence[tuple[str, str]]:
        """Return which publications there are, each with its digest: enough to tell whether any came or went."""
        ...

    def releases(self) -> Sequence[Release]:
        """Return every publication, in the order in which they came out."""
        ...

    def file(self, publication: str, name: str) -> bytes | None:
        """Return one published file, or None if it is not published."""
        ...

    def live(self) -> Live:
        """Return what services declare now."""
        ...
