"""The data source of the public pages: reads published files and what services declare, and nothing else."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.auditor.published import Doubt, sealed
from services.common import telemetry
from services.common.database.engine import Database
from services.common.errors import unavailable
from services.reporting.pages.data_source import Live, Release
from services.reporting.store import capacity, publications

CERTIFICATE = "certificate.json"


@dataclass(frozen=True, slots=True)
class DatabaseSource:
    """Reads published files and capacity from the database."""

    database: Database

    def standing(self) -> Sequence[tuple[str, str]]:
        """Return which publications there are, each with its digest."""
        with self.database.reading() as connection:
            return publications.standing(connection)

    def releases(self) -> Sequence[Release]:
        """Return every publication, in the order in which they came out."""
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
        """Return one published file, or None if it is not published; raise 503 if its bytes were damaged since."""
        with self.database.reading() as connection:
            content = publications.published_file(connection, publication, name)
            if content is None:
                return None
            certificate = publications.published_file(connection, publication, CERTIFICATE)
            digest = dict(publications.standing(connection))[publication]
        if not _intact(publication, certificate or b"", digest, {} if name == CERTIFICATE else {name: content}):
            telemetry.log.error("a published file of %s is damaged: bring the database's newest copy back", publication)
            raise unavailable("What is published here was damaged.")
        return content

    def live(self) -> Live:
        """Return what services declare now."""
        with self.database.reading() as connection:
            return Live(tuple(capacity.available(connection)), *capacity.declaring(connection))


def _intact(publication: str, certificate: bytes, digest: str, content: Mapping[str, bytes]) -> bool:
    """Return whether these files match the certificate and the published digest."""
    try:
        told = json.loads(certificate)
        sealed(publication, told, content)
        return bool(told["bundle"] == digest)
    except (Doubt, ValueError, KeyError, TypeError, AttributeError):
        return False
