"""Runs `fireweed` so that it dies where it is told to: without warning, just before or just after its n-th commit.

The file named by CRASH_ORDER holds `before N` or `after N`; commits are counted from the moment the order appears. The real
process runs the real code; only the driver's commit is watched.
"""

import os
import signal
from pathlib import Path
from typing import Any

from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg


class Order:
    """The present order, read anew at each commit; a new order starts the count again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = ""
        self._count = 0

    def due(self) -> str | None:
        """Count one commit; on which side of it to die, None to live on."""
        order = self._path.read_text() if self._path.exists() else ""
        if order != self._seen:
            self._seen, self._count = order, 0
        if not order:
            return None
        self._count += 1
        side, number, _identity = order.split()
        return side if self._count == int(number) else None


def watch(path: Path) -> None:
    """Put the watch in front of every commit of this process."""
    order = Order(path)
    commit = PGDialect_psycopg.do_commit

    def watched(self: Any, connection: Any) -> None:
        side = order.due()
        if side == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        commit(self, connection)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
        if side == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    PGDialect_psycopg.do_commit = watched  # type: ignore[method-assign]


if __name__ == "__main__":
    watch(Path(os.environ["CRASH_ORDER"]))
    from services.cli import main

    main()
