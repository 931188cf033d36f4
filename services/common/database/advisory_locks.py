"""Advisory locks of PostgreSQL, and the other uses of a database session: notifications and its socket.

No other module holds SQL about advisory locks. On SQLite, where one process writes at a time, the locks do nothing.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, func, literal, select, text
from sqlalchemy.exc import OperationalError

from services.common.database.engine import Database

_KEYS = "unnest(CAST(:keys AS bigint[])) AS key"


@contextmanager
def sole(database: Database, name: str) -> Iterator[Callable[[], bool]]:
    """Try to take the lock of a name; yield a function that tells whether this process (still) holds it.

    PostgreSQL frees a session-level advisory lock when its connection dies, so a killed holder never blocks its
    successor. A holder that lost its connection must stop, so it calls the function before each round, which then raises
    `OperationalError`. On SQLite, which belongs to one process, the function always returns True.
    """
    if not database.is_postgresql:
        yield lambda: True
        return
    with database.session() as connection:
        held = bool(connection.scalar(select(func.pg_try_advisory_lock(_number(f"fireweed:{name}")))))
        yield lambda: held and connection.scalar(text("SELECT true"))


def lock_until_commit(connection: Connection, key: str | int, *, shared: bool = False) -> None:
    """Wait for the lock of a key and hold it until the transaction ends; shared holders exclude only exclusive ones."""
    if connection.dialect.name == "postgresql":
        lock = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
        connection.execute(select(lock(_number(key))))


def lock_session_shared(connection: Connection, keys: Iterable[int]) -> None:
    """Wait for the shared locks of several keys, in ascending order; the session holds them until `unlock_session`."""
    connection.execute(text(f"SELECT pg_advisory_lock_shared(key) FROM {_KEYS}"), {"keys": sorted(keys)})  # noqa: S608


def try_session_shared(connection: Connection, keys: Iterable[int]) -> set[int]:
    """Take the shared locks that are free at once; return their keys. A lock that a writer waits for is not free."""
    query = text(f"SELECT key, pg_try_advisory_lock_shared(key) FROM {_KEYS}")  # noqa: S608
    return {key for key, taken in connection.execute(query, {"keys": sorted(keys)}) if taken}


def unlock_session(connection: Connection) -> None:
    """Release every advisory lock that the session holds."""
    connection.execute(select(func.pg_advisory_unlock_all()))


@contextmanager
def notified(database: Database, channel: str) -> Iterator[Callable[[float], object]]:
    """Yield a function that waits some seconds, or until a notification on the channel; SQLite has no notifications."""
    if not database.is_postgresql:
        yield threading.Event().wait
        return
    with database.session() as connection:
        connection.exec_driver_sql(f"LISTEN {channel}")
        driver: Any = connection.connection.driver_connection
        lost = connection.dialect.loaded_dbapi.OperationalError

        def wait(seconds: float) -> None:
            try:
                list(driver.notifies(timeout=seconds, stop_after=1))
            except lost as error:
                raise OperationalError("LISTEN", None, error) from error

        yield wait


def session_socket(connection: Connection) -> int | None:
    """Return the socket descriptor of a connection to PostgreSQL; None on SQLite, which has no server."""
    if connection.dialect.name != "postgresql":
        return None
    driver: Any = connection.connection.driver_connection
    descriptor: int = driver.fileno()
    return descriptor


def _number(key: str | int) -> ColumnElement[int]:
    """Return a key as the 64-bit number that PostgreSQL locks; a text is hashed by the database."""
    return func.hashtextextended(key, 0) if isinstance(key, str) else literal(key, BigInteger)
