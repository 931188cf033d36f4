"""The lock on a survivor keeps the same promises in one process and on PostgreSQL."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import InternalError, OperationalError

from services.common.database.engine import Database
from services.consent import locks as module
from services.consent.locks import Busy, PostgresLocks, ProcessLocks, SubjectLocks, subject_locks
from tests.support.hubs import eventually

TIMEOUT = 20.0
# Long enough for a second holder to get in if the lock does not hold.
WHILE = 0.2
only_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def locks(database: Database) -> SubjectLocks:
    return subject_locks(database)


@pytest.fixture
def long_lock_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all lock timeouts longer than a test waits, so that a missed wake-up fails the test."""
    for name in ("SHARED_SECONDS", "EXCLUSIVE_SECONDS", "BATCH_SECONDS"):
        monkeypatch.setattr(module, name, 2 * TIMEOUT)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(24) as pool:
        yield pool


class Holder:
    """A thread that takes a lock, signals `inside`, and keeps the lock until `leave` is called."""

    def __init__(self, pool: ThreadPoolExecutor, take: Callable[[], object]) -> None:
        self.inside, self.let_go = threading.Event(), threading.Event()
        self.done: Future[None] = pool.submit(self._hold, take)

    def _hold(self, take: Callable[[], object]) -> None:
        with take():  # type: ignore[attr-defined]  # either kind of the lock
            self.inside.set()
            assert self.let_go.wait(TIMEOUT)

    def got_in(self) -> bool:
        return self.inside.wait(TIMEOUT)

    def stays_out(self) -> bool:
        return not self.inside.wait(WHILE)

    def leave(self) -> None:
        self.let_go.set()
        self.done.result(TIMEOUT)


def test_subject_locks_match_database_kind(database: Database) -> None:
    kind = PostgresLocks if database.is_postgresql else ProcessLocks
    assert isinstance(subject_locks(database), kind)


def test_openings_of_one_survivor_share_lock(locks: SubjectLocks, threads: ThreadPoolExecutor) -> None:
    subject = uuid4()
    holders = [Holder(threads, lambda: locks.opening([subject])) for _ in range(6)]

    assert all(holder.got_in() for holder in holders)
    for holder in holders:
        holder.leave()


@pytest.mark.usefixtures("long_lock_timeouts")
@pytest.mark.parametrize(
    ("held", "wanted"), [("opening", "changing"), ("changing", "opening"), ("changing", "changing")]
)
def test_conflicting_lock_waits_until_release(
    locks: SubjectLocks, threads: ThreadPoolExecutor, held: str, wanted: str
) -> None:
    take = _takers(locks, uuid4())
    first = Holder(threads, take[held])
    assert first.got_in()

    second = Holder(threads, take[wanted])
    assert second.stays_out()
    first.leave()
    assert second.got_in()
    second.leave()


def test_locks_of_different_survivors_are_independent(locks: SubjectLocks, threads: ThreadPoolExecutor) -> None:
    holder = Holder(threads, lambda: locks.opening([uuid4()]))
    assert holder.got_in()

    with locks.changing(uuid4()):
        pass
    holder.leave()


def test_waiting_change_precedes_new_openings(
    database: Database, locks: SubjectLocks, threads: ThreadPoolExecutor
) -> None:
    subject = uuid4()
    take = _takers(locks, subject)
    reading = Holder(threads, take["opening"])
    assert reading.got_in()
    changing = Holder(threads, take["changing"])
    eventually(lambda: _writers_waiting(database, locks, subject) == 1)

    late = Holder(threads, take["opening"])
    assert late.stays_out(), "a new opening slipped in before the change that waited"
    reading.leave()
    assert changing.got_in()
    assert late.stays_out()
    changing.leave()
    assert late.got_in()
    late.leave()


def test_flood_of_openings_does_not_starve_change(locks: SubjectLocks, threads: ThreadPoolExecutor) -> None:
    subject, over = uuid4(), threading.Event()

    def flood() -> int:
        openings = 0
        while not over.is_set():
            with locks.opening([subject]):
                openings += 1
                time.sleep(0.005)  # long enough that one of the eight always holds the lock
        return openings

    flooding = [threads.submit(flood) for _ in range(8)]
    for _ in range(10):
        with locks.changing(subject):  # raises `Busy` if the change starves
            pass
        time.sleep(0.01)
    over.set()

    assert all(one.result(TIMEOUT) > 0 for one in flooding), "the changes starved the openings in turn"


@pytest.mark.parametrize(
    ("held", "wanted"), [("opening", "changing"), ("changing", "opening"), ("changing", "changing")]
)
def test_lock_wait_times_out_and_leaves_no_trace(
    locks: SubjectLocks,
    threads: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
    held: str,
    wanted: str,
) -> None:
    take = _takers(locks, uuid4())
    first = Holder(threads, take[held])
    assert first.got_in()
    monkeypatch.setattr(module, "SHARED_SECONDS", WHILE)
    monkeypatch.setattr(module, "EXCLUSIVE_SECONDS", WHILE)

    with pytest.raises(Busy), take[wanted]():  # type: ignore[attr-defined]  # either kind of the lock
        pass
    if held == "opening":
        beside = Holder(threads, take["opening"])
        assert beside.got_in(), "an opening still waits behind a change that has given up"
        beside.leave()
    first.leave()
    with take[wanted]():  # type: ignore[attr-defined]  # as above
        pass


@pytest.mark.usefixtures("long_lock_timeouts")
def test_openings_resume_when_waiting_change_times_out(
    database: Database, locks: SubjectLocks, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXCLUSIVE_SECONDS", 3 * WHILE)
    subject = uuid4()
    take = _takers(locks, subject)
    reading = Holder(threads, take["opening"])
    assert reading.got_in()
    changing = Holder(threads, take["changing"])
    eventually(lambda: _writers_waiting(database, locks, subject) == 1)

    late = Holder(threads, take["opening"])
    assert late.got_in(), "nobody told the opening that the change has given up"
    with pytest.raises(Busy):
        changing.leave()
    for holder in (late, reading):
        holder.leave()


@pytest.mark.parametrize("kind", ["opening", "changing"])
def test_failed_block_releases_lock(locks: SubjectLocks, threads: ThreadPoolExecutor, kind: str) -> None:
    take = _takers(locks, uuid4())
    with pytest.raises(ZeroDivisionError), take[kind]():  # type: ignore[attr-defined]  # either kind of the lock
        _ = 1 / 0

    for other in ("changing", "opening"):
        holder = Holder(threads, take[other])
        assert holder.got_in()
        holder.leave()


def test_change_rolls_back_on_failure_else_next_opening_sees_it(
    database: Database, locks: SubjectLocks, threads: ThreadPoolExecutor
) -> None:
    subject = uuid4()
    with database.transaction() as connection:
        connection.execute(text("CREATE TABLE mark (value INTEGER)"))

    def change_and_fail() -> None:
        with locks.changing(subject) as connection:
            connection.execute(text("INSERT INTO mark VALUES (1)"))
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        change_and_fail()
    changing = threading.Event()

    def count() -> int:
        assert changing.wait(TIMEOUT)
        with locks.opening([subject]) as connection:
            seen = int(connection.scalar(text("SELECT count(*) FROM mark")))
            connection.rollback()
            return seen

    counts = [threads.submit(count) for _ in range(4)]
    with locks.changing(subject) as connection:
        changing.set()
        connection.execute(text("INSERT INTO mark VALUES (2)"))
        time.sleep(WHILE)
    assert [one.result(TIMEOUT) for one in counts] == [1] * 4


def test_openings_of_several_survivors_never_deadlock(locks: SubjectLocks, threads: ThreadPoolExecutor) -> None:
    one, two, three = uuid4(), uuid4(), uuid4()
    orders = [[one, two, three], [three, two, one], [two, two, one], [three, one]]

    def open_often(order: list[UUID]) -> None:
        for _ in range(15):
            with locks.opening(order):
                pass

    def change_often(subject: UUID) -> None:
        for _ in range(15):
            with locks.changing(subject):
                pass

    running = [threads.submit(open_often, order) for order in orders]
    running += [threads.submit(change_often, subject) for subject in (one, two, three)]
    for each in running:
        each.result(TIMEOUT)


def test_batch_locks_free_survivors_and_skips_busy_ones(locks: SubjectLocks, threads: ThreadPoolExecutor) -> None:
    free, read, changed = uuid4(), uuid4(), uuid4()
    reading = Holder(threads, lambda: locks.opening([read]))
    changing = Holder(threads, lambda: locks.changing(changed))
    assert reading.got_in()
    assert changing.got_in()

    start = time.monotonic()
    with locks.opening_free([free, changed, read]) as (connection, had):
        assert time.monotonic() - start < WHILE * 10
        assert had == {free, read}
        assert connection.scalar(text("SELECT 1")) == 1
        connection.rollback()
        changing.leave()
        other = Holder(threads, lambda: locks.changing(free))
        assert other.stays_out(), "what a batch has taken is not held"
    assert other.got_in()
    for holder in (other, reading):
        holder.leave()
    with locks.opening_free([free, changed, read]) as (_, had):
        assert had == {free, read, changed}


@pytest.mark.usefixtures("long_lock_timeouts")
def test_batch_waits_for_busy_survivor_until_free(locks: SubjectLocks, threads: ThreadPoolExecutor) -> None:
    free, changed = uuid4(), uuid4()
    changing = Holder(threads, lambda: locks.changing(changed))
    assert changing.got_in()
    batch = Holder(threads, lambda: locks.opening_free([free, changed]))
    assert batch.stays_out()
    changing.leave()
    assert batch.got_in(), "a batch that has everybody goes on waiting"

    other = Holder(threads, lambda: locks.changing(changed))
    assert other.stays_out(), "whom a batch has waited for is not held"
    batch.leave()
    assert other.got_in()
    other.leave()


@only_postgresql
def test_waiting_batch_polls_database_rarely(
    database: Database, locks: SubjectLocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_SECONDS", 2 * WHILE)
    monkeypatch.setattr(module, "BATCH_STEP", WHILE / 2)
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))
    subject = uuid4()
    with locks.changing(subject), locks.opening_free([subject]) as (_, had):
        assert had == set()

    assert 2 <= sum("pg_try_advisory_lock_shared" in statement for statement in asked) <= 6


def test_batch_does_not_overtake_waiting_change(
    database: Database, locks: SubjectLocks, threads: ThreadPoolExecutor
) -> None:
    subject, other = uuid4(), uuid4()
    reading = Holder(threads, lambda: locks.opening([subject]))
    assert reading.got_in()
    changing = Holder(threads, lambda: locks.changing(subject))
    eventually(lambda: _writers_waiting(database, locks, subject) == 1)

    with locks.opening_free([subject, other]) as (_, had):
        assert had == {other}
    reading.leave()
    assert changing.got_in()
    changing.leave()


def test_failed_batch_releases_all_locks(locks: SubjectLocks) -> None:
    subjects = [uuid4() for _ in range(5)]
    with pytest.raises(ZeroDivisionError), locks.opening_free(subjects):
        _ = 1 / 0
    for subject in subjects:
        with locks.changing(subject):
            pass


@only_postgresql
def test_connections_return_to_pool_without_locks(database: Database) -> None:
    locks = PostgresLocks(database)
    for kind in ("opening", "changing"):
        for fails in (False, True):
            with suppress(ZeroDivisionError), _takers(locks, uuid4())[kind]():  # type: ignore[attr-defined]
                assert _advisory_locks(database) == 1
                _ = 1 / (0 if fails else 1)
            assert _advisory_locks(database) == 0


@only_postgresql
def test_timed_out_wait_leaves_no_lock_in_pool(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARED_SECONDS", WHILE)
    locks = PostgresLocks(database)
    # The first lock is free and the second is taken: the first must not stay held.
    free, taken = sorted((uuid4(), uuid4()), key=module._key)
    with locks.changing(taken):
        with pytest.raises(Busy), locks.opening([taken, free]):
            pass
        assert _advisory_locks(database) == 1
    assert _advisory_locks(database) == 0


@only_postgresql
def test_block_does_not_run_when_lock_statement_fails(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def cancelled_soon(connection: Connection, _: float) -> None:
        connection.execute(text("SELECT set_config('statement_timeout', '100ms', true)"))

    locks, subject = PostgresLocks(database), uuid4()
    with locks.changing(subject):
        monkeypatch.setattr(module, "limit_wait", cancelled_soon)
        for take in _takers(locks, subject).values():
            with pytest.raises(OperationalError, match="statement timeout"), take():  # type: ignore[attr-defined]
                raise AssertionError("went on without the lock")
    assert _advisory_locks(database) == 0


@only_postgresql
def test_session_that_cannot_unlock_is_closed(database: Database) -> None:
    locks = PostgresLocks(database)

    def break_the_session() -> None:
        with locks.opening([uuid4()]) as connection:
            driver: Any = connection.connection.driver_connection
            # Without SQLAlchemy's knowledge: from here on the session accepts nothing but a rollback.
            with suppress(psycopg.errors.DivisionByZero):
                driver.execute("SELECT 1 / 0")

    with pytest.raises(InternalError):
        break_the_session()
    assert _advisory_locks(database) == 0


@only_postgresql
def test_lost_connection_releases_lock(database: Database) -> None:
    locks, subject = PostgresLocks(database), uuid4()

    def lose_the_connection() -> None:
        with locks.opening([subject]) as connection:
            process = connection.scalar(text("SELECT pg_backend_pid()"))
            connection.rollback()
            with database.transaction() as other:
                other.execute(text("SELECT pg_terminate_backend(:process)"), {"process": process})
            with locks.changing(subject):
                pass

    with pytest.raises(OperationalError):
        lose_the_connection()
    for _ in range(30):  # the pool returns no dead connection and no held lock
        with locks.opening([subject]) as connection:
            assert connection.scalar(text("SELECT 1")) == 1
            connection.rollback()
    assert _advisory_locks(database) == 0


@only_postgresql
def test_killed_process_leaves_no_lock(database: Database) -> None:
    subject = uuid4()
    program = (
        "import sys, uuid\n"
        "from services.common.database.engine import Database\n"
        "from services.consent.locks import PostgresLocks\n"
        "with PostgresLocks(Database(sys.argv[1])).opening([uuid.UUID(sys.argv[2])]):\n"
        "    print('inside', flush=True); sys.stdin.read()\n"
    )
    url = database.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", program, url, str(subject)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "inside\n"
        assert _advisory_locks(database) == 1
        process.kill()
        process.wait(TIMEOUT)

        with PostgresLocks(database).changing(subject):
            pass


def _takers(locks: SubjectLocks, subject: UUID) -> dict[str, Callable[[], object]]:
    return {"opening": lambda: locks.opening([subject]), "changing": lambda: locks.changing(subject)}


def _advisory_locks(database: Database) -> int:
    with database.reading() as connection:
        here = "locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        return int(connection.scalar(text(f"SELECT count(*) FROM pg_locks WHERE {here}")))  # noqa: S608 - a constant


def _writers_waiting(database: Database, locks: SubjectLocks, subject: UUID) -> int:
    if isinstance(locks, ProcessLocks):
        return locks._of(subject)._waiting_writers
    with database.reading() as connection:
        waiting = "locktype = 'advisory' AND mode = 'ExclusiveLock' AND NOT granted"
        return int(connection.scalar(text(f"SELECT count(*) FROM pg_locks WHERE {waiting}")))  # noqa: S608 - a constant
