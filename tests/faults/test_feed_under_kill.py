"""Eight writers fill a feed and are killed at any point; four readers see every number once, in order, and nothing else."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event, Thread

import pytest

from services.common.clock import SystemClock
from services.common.database.engine import Database
from services.common.database.migrations import upgrade
from services.referral import models
from services.referral.context import Context
from services.referral.handlers import feed

pytestmark = [pytest.mark.slow]
WRITERS, READERS, KILLS, SECONDS = 8, 4, 24, 90.0
AGENCIES = [f"agency-number{number}" for number in range(READERS)]


@pytest.fixture
def context(database_url: str) -> Iterator[Context]:
    database = Database(database_url)
    upgrade("referral", database)
    yield Context(database, models.plumbing.outbox, SystemClock())
    database.close()


def write(url: str) -> None:
    """Tell all agencies one thing after the other, each time in another order, and say on standard output what committed."""
    context = Context(Database(url, pool_size=1), models.plumbing.outbox, SystemClock())
    turn = 0
    while True:
        turn += 1
        name = f"{os.getpid()}-{turn}"
        with context.database.transaction() as connection:
            for place in range(READERS):
                agency = AGENCIES[(place + turn) % READERS]
                feed.tell(context, connection, [agency], feed.UPDATED, name, "requested")
        print(name, flush=True)


def start(url: str, log: Path) -> subprocess.Popen[bytes]:
    """Start a writer in a process of its own; what it says goes to a file."""
    command = [sys.executable, "-c", f"from tests.faults.test_feed_under_kill import write; write({url!r})"]
    with log.open("ab") as said:
        return subprocess.Popen(command, stdout=said)


def read(context: Context, agency: str, done: Event, seen: list[tuple[int, str]]) -> None:
    """Follow one feed by its numbers until everything has been written, and then to its end."""
    after = 0
    while True:
        last_round = done.is_set()
        page = feed.read_feed(context, agency, after)
        seen += [(row.number, row.subject) for row in page.entries]
        after = page.next
        if last_round and not page.entries:
            return
        if not page.entries:
            done.wait(0.02)


def test_readers_see_every_number_once_while_writers_are_killed(
    context: Context, database_url: str, tmp_path: Path
) -> None:
    logs = [tmp_path / f"writer-{number}.log" for number in range(WRITERS)]
    writers = [start(database_url, log) for log in logs]
    done, seen = Event(), [list[tuple[int, str]]() for _ in AGENCIES]
    readers = [
        Thread(target=read, args=(context, *each)) for each in zip(AGENCIES, [done] * READERS, seen, strict=True)
    ]
    for reader in readers:
        reader.start()
    deadline, killed = time.monotonic() + SECONDS, 0
    while killed < KILLS and time.monotonic() < deadline:
        for place, log in enumerate(logs):
            # At another point of its work each time.
            if lines(log, writers[place].pid) >= 2 + killed % 7:
                writers[place].kill()
                writers[place].wait()
                writers[place] = start(database_url, log)
                killed += 1
        done.wait(0.02)
    for writer in writers:
        writer.kill()
        writer.wait()
    done.set()
    for reader in readers:
        reader.join(SECONDS)
    assert killed >= WRITERS, "too few were killed to show anything"
    check(logs, seen)
    print(f"\n{killed} writers killed, {len(seen[0])} entries for each of {READERS} readers")


def lines(log: Path, process: int) -> int:
    """Return how often a process has said that it committed."""
    return sum(line.startswith(f"{process}-") for line in log.read_text().splitlines())


def check(logs: Sequence[Path], seen: Sequence[Sequence[tuple[int, str]]]) -> None:
    """Check that numbers have no gap, that all readers saw the same changes, and nothing that was committed is missing."""
    committed = {line for log in logs for line in log.read_text().splitlines()}
    for found in seen:
        assert [number for number, _ in found] == list(range(1, len(found) + 1))
        names = [name for _, name in found]
        assert len(set(names)) == len(names), "once in effect"
        # A writer may be killed between its commit and its word about it.
        assert committed <= set(names)
        assert set(names) == {name for _, name in seen[0]}
        by_writer: dict[str, int] = {}
        for name in names:
            writer, _, turn = name.partition("-")
            assert int(turn) > by_writer.get(writer, 0), "in the order of commit"
            by_writer[writer] = int(turn)
