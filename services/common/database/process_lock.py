"""Locks on SQLite files: one process is the API and one the worker, since survivors' locks live inside a process."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.common.database.engine import Database
from services.common.errors import unavailable
from services.common.secret_files import own_file


@contextmanager
def hold(database: Database, role: str) -> Iterator[None]:
    """Hold a role on a SQLite file until the block, or the process, ends; raises a 503 problem if another process has it.

    Two API processes on one file would not see each other's locks: a revoke could return while the other still sends. On
    PostgreSQL many processes may have a role, and nothing is held.
    """
    if database.is_postgresql:
        yield
        return
    path = Path(f"{database.engine.url.database}.{role}.lock")
    own_file(path)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            advice = "End it first, or name another folder with --data."
            raise unavailable(f"Another process runs on the data in {path.parent}. {advice}") from error
        yield
