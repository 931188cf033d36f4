"""All that pages may know: frozen bytes of publications, and what services declare. How they are kept is not told here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Release:
    """A publication as anybody may know of it."""

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
        """The tables that it holds, by name."""
        return tuple(name.removeprefix("tables/").removesuffix(".json") for name in self.files)

    @property
    def kind(self) -> str:
        """Whether it is about a quarter or a year."""
        return "quarter" if "-Q" in self.period else "year"


class Free(NamedTuple):
    """What all programmes of one need in one region declare together; `as_of` is the oldest of their statements."""

    region: str
    need: str
    unit: str
    available: int
    total: int
    programs: int
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Live:
    """What services declare, and how many agencies have declared something of how many that take part."""

    free: tuple[Free, ...]
    declared: int
    agencies: int

    def __hash__(self) -> int:
        # Not of hundreds of rows for each page: whatever is kept by this is compared anyway.
        return hash((self.declared, self.agencies, len(self.free)))


class DataSource(Protocol):
    """Where publications stand for anybody to take."""

    def standing(self) -> Sequence[tuple[str, str]]:
        """Which publications there are, each with its hash: enough to tell whether any came or went."""
        ...

    def releases(self) -> Sequence[Release]:
        """Every publication, in the order in which they came out."""
        ...

    def file(self, publication: str, name: str) -> bytes | None:
        """One published file; None for whatever is not published."""
        ...

    def live(self) -> Live:
        """What services declare, now."""
        ...
