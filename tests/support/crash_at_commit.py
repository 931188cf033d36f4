"""Runs `fireweed` so that it dies where it is told to: without warning, just before or just after its n-th commit.

The file named by CRASH_ORDER holds `before N` or `after N`; commits are counted from the moment the order appears. The real
process runs the real code; only the driver's commits are watched, and the statements that commit by themselves. Around it
stands what an orchestrator is to a real one: it starts the process again after such a death and passes every other end on.
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
    """The present order, read anew at each commit; a new order starts the count again, a fulfilled one says no more."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._deaths = Path(f"{path}.deaths")
        self._fulfilled = set(self._deaths.read_text().splitlines()) if self._deaths.exists() else set()
        self._seen = ""
        self._count = 0

    def due(self) -> str | None:
        """Count one commit; on which side of it to die, None to live on."""
        order = self._path.read_text() if self._path.exists() else ""
        if order != self._seen:
            self._seen, self._count = order, 0
        if not order or order in self._fulfilled:
            return None
        self._count += 1
        side, number, _identity = order.split()
        return side if self._count == int(number) else None

    def die(self) -> None:
        """End without warning; which order it was stays written down."""
        with self._deaths.open("a") as deaths:
            deaths.write(f"{self._seen}\n")
        os.kill(os.getpid(), signal.SIGKILL)


def watch(path: Path) -> None:
    """Put the watch in front of every commit of this process."""
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


def run_again_and_again(path: Path) -> int:
    """Run `fireweed`, and again after each death by order. It is forked with its modules loaded, which saves seconds."""
    while True:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            watch(path)
            main()
        # A signal between the two lines finds the old handler, and so the old child; ends come long after starts.
        signal.signal(signal.SIGTERM, lambda *_, one=child: os.kill(one, signal.SIGTERM))
        _, status = os.waitpid(child, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(run_again_and_again(Path(os.environ["CRASH_ORDER"])))
