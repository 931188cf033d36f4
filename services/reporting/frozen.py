"""The shelf that pages are given: it reads published files and what services declare, and has no word for anything else."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.database import Database
from services.reporting.pages.shelf import Live, Release
from services.reporting.store import capacity, publications


@dataclass(frozen=True, slots=True)
class FrozenShelf:
    """Published files in the database."""

    database: Database

    def standing(self) -> Sequence[tuple[str, str]]:
        """Which publications there are, each with its hash."""
        with self.database.reading() as connection:
            return publications.standing(connection)

    def releases(self) -> Sequence[Release]:
        """Every publication, in the order in which they came out."""
        with self.database.reading() as connection:
            rows = publications.published(connection)
        return [
            Release(
                id=row.id,
                period=row.period,
                plan=row.head["plan"],
                rules=row.head["rules"],
                revises=row.head["revises"],
                files=tuple(row.head["files"]),
                bundle=row.bundle,
                published_at=row.published_at,
            )
            for row in rows
        ]

    def file(self, publication: str, name: str) -> bytes | None:
        """One published file; None for whatever is not published."""
        with self.database.reading() as connection:
            return publications.published_file(connection, publication, name)

    def live(self) -> Live:
        """What services declare, now."""
        with self.database.reading() as connection:
            return Live(tuple(capacity.available(connection)), *capacity.declaring(connection))
