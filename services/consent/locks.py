"""The lock on one survivor: shared while bytes about her leave, exclusive while she changes what may leave.

When a change returns, every opening that was decided before it has ended; that makes revoking immediate (promise P2). Both
kinds of lock keep waiting writers ahead of new readers, so a flood of openings cannot starve a revocation.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from hashlib import sha256
from typing import Protocol
from uuid import UUID
from weakref import WeakValueDictionary

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from services.common.clock import monotonic, pause
from services.common.database.advisory_locks import (
    lock_session_shared,
    lock_until_commit,
    try_session_shared,
    unlock_session,
)
from services.common.database.engine import Database, transaction_on

SHARED_SECONDS = 2.0
EXCLUSIVE_SECONDS = 10.0
BATCH_SECONDS, BATCH_STEP = 0.2, 0.01
Free = tuple[Connection, frozenset[UUID]]


class Busy(Exception):
    """The lock was not available in time."""


class SubjectLocks(Protocol):
    """The two ways to lock a survivor."""

    def changing(self, subject: UUID) -> AbstractContextManager[Connection]:
        """Lock her exclusively for one transaction, from before it reads until after it has committed."""
        ...

    def opening(self, subjects: Sequence[UUID]) -> AbstractContextManager[Connection]:
        """Lock survivors shared on a connection without a transaction, for as long as the block runs; raise `Busy`."""
        ...

    def opening_free(self, subjects: Collection[UUID]) -> AbstractContextManager[Free]:
        """Lock shared those survivors who are free almost at once; yield the connection and who they are.

        An opening that waited for one survivor's lock would meanwhile delay the revocations of all the others in its batch.
        """
        ...


class PostgresLocks:
    """Advisory locks: the database frees them when a process dies, and orders waiting writers before new readers.

    They belong to a server session, so nothing that shares sessions between clients (a pooler in transaction mode) may stand
    between this process and PostgreSQL.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def changing(self, subject: UUID) -> Iterator[Connection]:
        """Take a transaction-level exclusive lock; PostgreSQL releases it just after the commit."""
        with self._database.transaction() as connection:
            with as_busy():
                limit_wait(connection, EXCLUSIVE_SECONDS)
                lock_until_commit(connection, _key(subject))
            yield connection

    @contextmanager
    def opening(self, subjects: Sequence[UUID]) -> Iterator[Connection]:
        """Take session-level shared locks, in one order for all callers so that two holders cannot wait for each other."""
        keys = [_key(subject) for subject in subjects]
        with self._database.connection() as connection:
            try:
                with as_busy(), transaction_on(connection):
                    limit_wait(connection, SHARED_SECONDS)
                    lock_session_shared(connection, keys)
                yield connection
            finally:
                _unlock(connection)

    @contextmanager
    def opening_free(self, subjects: Collection[UUID]) -> Iterator[Free]:
        """Take session-level shared locks that are free; one that a writer waits for counts as taken."""
        keys = {_key(subject) for subject in subjects}
        with self._database.engine.connect() as connection:
            try:
                had = _try(connection, keys)
                deadline = monotonic() + BATCH_SECONDS
                while had != keys and monotonic() < deadline:
                    pause(BATCH_STEP)
                    had |= _try(connection, keys - had)
                yield connection, frozenset(subject for subject in subjects if _key(subject) in had)
            finally:
                _unlock(connection)


class ProcessLocks:
    """Locks inside one process, for the embedded hub: one fair readers-writer lock per survivor."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # A lock without holders has no state worth keeping.
        self._locks: WeakValueDictionary[UUID, _FairLock] = WeakValueDictionary()
        self._guard = threading.Lock()

    @contextmanager
    def changing(self, subject: UUID) -> Iterator[Connection]:
        """Take the lock first, then the transaction: SQLite has one write lock, which readers need to record outcomes."""
        with self._of(subject).exclusive(EXCLUSIVE_SECONDS), self._database.transaction() as connection:
            yield connection

    @contextmanager
    def opening(self, subjects: Sequence[UUID]) -> Iterator[Connection]:
        """Take shared locks, in one order."""
        with ExitStack() as held:
            for subject in sorted(set(subjects)):
                held.enter_context(self._of(subject).shared(SHARED_SECONDS))
            yield held.enter_context(self._database.connection())

    @contextmanager
    def opening_free(self, subjects: Collection[UUID]) -> Iterator[Free]:
        """Take shared locks in one order, all within one short time."""
        deadline, had = monotonic() + BATCH_SECONDS, set[UUID]()
        with ExitStack() as held:
            for subject in sorted(set(subjects)):
                with suppress(Busy):
                    held.enter_context(self._of(subject).shared(deadline - monotonic()))
                    had.add(subject)
            yield held.enter_context(self._database.connection()), frozenset(had)

    def _of(self, subject: UUID) -> "_FairLock":
        with self._guard:
            lock = self._locks.get(subject)
            if lock is None:
                self._locks[subject] = lock = _FairLock()
            return lock


class _FairLock:
    """A lock for many readers or one writer; as soon as a writer waits, new readers wait behind it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._writing = False
        self._waiting_writers = 0

    @contextmanager
    def shared(self, seconds: float) -> Iterator[None]:
        with self._changed:
            self._wait(lambda: not self._writing and not self._waiting_writers, seconds)
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def exclusive(self, seconds: float) -> Iterator[None]:
        with self._changed:
            self._waiting_writers += 1
            try:
                self._wait(lambda: not self._writing and not self._readers, seconds)
            finally:
                self._waiting_writers -= 1
                self._changed.notify_all()
            self._writing = True
        try:
            yield
        finally:
            with self._changed:
                self._writing = False
                self._changed.notify_all()

    def _wait(self, free: Callable[[], bool], seconds: float) -> None:
        if not self._changed.wait_for(free, seconds):
            raise Busy


def _key(subject: UUID) -> int:
    # 64 bits, apart from other uses of advisory locks. Two survivors may share a key, which costs only a wait.
    return int.from_bytes(sha256(b"subject:" + subject.bytes).digest()[:8], "big", signed=True)


def _try(connection: Connection, keys: set[int]) -> set[int]:
    """Take the locks that are free now; return their keys."""
    with transaction_on(connection):
        return try_session_shared(connection, keys)


def limit_wait(connection: Connection, seconds: float) -> None:
    """Let PostgreSQL wait for locks at most this many seconds, until the transaction ends."""
    connection.execute(text("SELECT set_config('lock_timeout', :limit, true)"), {"limit": f"{seconds}s"})


def _unlock(connection: Connection) -> None:
    """Release this session's locks; if that fails, close the session, which releases them as well."""
    try:
        with transaction_on(connection):
            unlock_session(connection)
    except Exception:
        connection.invalidate()
        raise


@contextmanager
def as_busy() -> Iterator[None]:
    """Raise `Busy` for a lock that PostgreSQL could not give in time."""
    try:
        yield
    except OperationalError as error:
        # 55P03 lock_not_available (https://www.postgresql.org/docs/15/errcodes-appendix.html)
        if getattr(error.orig, "sqlstate", None) == "55P03":
            raise Busy from error
        raise


def subject_locks(database: Database) -> SubjectLocks:
    """Return the kind of locks that fits this database."""
    return PostgresLocks(database) if database.is_postgresql else ProcessLocks(database)
