"""What a database session is held for: to be the only one of its kind, to be told of work, to see that it lives."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from services.common.database.engine import Database


@contextmanager
def sole(database: Database, name: str) -> Iterator[Callable[[], bool]]:
    """Yield a question: is this process (still) the only one that holds `name`?

    PostgreSQL frees a session-level advisory lock when its connection dies, so a killed holder never blocks its
    successor; and a holder that lost its connection must stop, which is why it asks again before each round. SQLite
    belongs to one process, which is always alone.
    """
    if not database.is_postgresql:
        yield lambda: True
        return
    with database.session() as connection:
        key = {"key": f"fireweed:{name}"}
        held = bool(connection.scalar(text("SELECT pg_try_advisory_lock(hashtextextended(:key, 0))"), key))
        yield lambda: held and connection.scalar(text("SELECT true"))


@contextmanager
def notified(database: Database, channel: str) -> Iterator[Callable[[float], object]]:
    """Yield a wait for a notification on a channel, of at most so many seconds; on SQLite it is always of all of them."""
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
    """The socket of a connection's session with PostgreSQL; None where there is no server (SQLite)."""
    if connection.dialect.name != "postgresql":
        return None
    driver: Any = connection.connection.driver_connection
    descriptor: int = driver.fileno()
    return descriptor
