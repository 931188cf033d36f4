"""Runs the consent service's API as `fireweed serve consent api` does, optionally without its locks.

Only the test of the revocation race runs it without locks: it must find violations then, or it could not find any at all.
"""

import argparse
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection

from services.common.auth.access_tokens import TokenKeys
from services.common.auth.jose import key_set
from services.common.clock import SystemClock
from services.common.database.engine import Database
from services.common.http.server import ByPrefix, listen, server
from services.common.settings import Settings
from services.consent import main as consent
from services.consent.locks import Free


class NoLocks:
    """Yields connections like `SubjectLocks`, but takes no locks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def changing(self, _subject: UUID) -> Iterator[Connection]:
        """Yield a connection in a transaction."""
        with self._database.transaction() as connection:
            yield connection

    @contextmanager
    def opening(self, _subjects: Sequence[UUID]) -> Iterator[Connection]:
        """Yield a connection."""
        with self._database.connection() as connection:
            yield connection

    @contextmanager
    def opening_free(self, subjects: Collection[UUID]) -> Iterator[Free]:
        """Yield a connection and all of the subjects."""
        with self._database.connection() as connection:
            yield connection, frozenset(subjects)


def main() -> None:
    """Serve until a signal arrives."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token-keys", type=Path, required=True)
    parser.add_argument("--without-locks", action="store_true")
    options = parser.parse_args()
    settings = Settings()
    keys = TokenKeys(keys=key_set(json.loads(options.token_keys.read_text())["keys"]))
    locks = NoLocks(consent.build_context(settings, SystemClock()).database) if options.without_locks else None
    made = consent.build(settings, keys, locks=locks)
    server(ByPrefix(dict.fromkeys(made.prefixes, made.app))).run(sockets=[listen(options.port)])


if __name__ == "__main__":
    main()
