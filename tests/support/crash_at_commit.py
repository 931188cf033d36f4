"""Runs `fireweed` so that the process is killed just before or just after its n-th commit.

The file named by CRASH_ORDER holds `before N` or `after N`; commits are counted from the moment the order appears. The real
process runs the real code; only the driver's commits are watched, and the statements that commit by themselves (autocommit).
A parent process acts as the orchestrator: it restarts the process after an ordered death and passes on any other exit.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from services.cli import main


class Order:
    """The current order, read again at each commit; a new order restarts the count, a fulfilled one has no effect."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._deaths = Path(f"{path}.deaths")
        self._fulfilled = set(self._deaths.read_text().splitlines()) if self._deaths.exists() else set()
        self._seen = ""
        self._count = 0

    def due(self) -> str | None:
        """Count one commit; return the side of it (`before` or `after`) at which to die, or None to live on."""
        order = self._path.read_text() if self._path.exists() else ""
        if order != self._seen:
            self._seen, self._count = order, 0
        if not order or order in self._fulfilled:
            return None
        self._count += 1
        side, number, _identity = order.split()
        return side if self._count == int(number) else None

    def die(self) -> None:
        """Write the order down as fulfilled, then kill this process (SIGKILL)."""
        with self._deaths.open("a") as deaths:
            deaths.write(f"{self._seen}\n")
        os.kill(os.getpid(), signal.SIGKILL)


def watch(path: Path) -> None:
    """Wrap every commit of this process, so that it dies where the order says."""
    order = Order(path)
    commit, execute = PGDialect_psycopg.do_commit, PGDialect_psycopg.do_execute

    @contextmanager
    def watched() -> Iterator[None]:
        side = order.due()
        if side == "before":
            order.die()
        yield
        if side == "after":
            order.die()

    def do_commit(self: Any, connection: Any) -> None:
        with watched():
            commit(self, connection)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped

    def do_execute(self: Any, cursor: Any, statement: str, *rest: Any) -> None:
        alone = cursor.connection.autocommit and not statement.startswith("SELECT")
        with watched() if alone else nullcontext():
            execute(self, cursor, statement, *rest)  # type: ignore[no-untyped-call]

    PGDialect_psycopg.do_commit = do_commit  # type: ignore[method-assign]
    PGDialect_psycopg.do_execute = do_execute  # type: ignore[method-assign]


def run_with_restarts(path: Path) -> int:
    """Run `fireweed` again after each ordered death; return its exit code. Forking it with loaded modules saves seconds."""
    while True:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            watch(path)
            main()
        # A signal before the next statement still reaches the old child; no test stops a process that soon after its start.
        signal.signal(signal.SIGTERM, lambda *_, one=child: os.kill(one, signal.SIGTERM))
        _, status = os.waitpid(child, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(run_with_restarts(Path(os.environ["CRASH_ORDER"])))
