"""Connections and transactions on SQLite and PostgreSQL; the only module that commits."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import (
    Connection,
    Engine,
    create_engine,
    event,
)
from sqlalchemy.engine import make_url

from services.common.secret_files import own_file, own_folder

WRITE, READ = {"fireweed_write": True}, {"fireweed_read": True}
WAL_TRIES, WAL_PAUSE = 500, 0.01

# A server tells times as they are where it was set up: near midnight another date, and for the first day of all none.
IN_UTC = "-c timezone=UTC"
# A machine that vanishes without a word would hold survivors' locks, or threads here, for hours: so both sides ask after the
# other. PostgreSQL waits a minute, since a machine that only stood still goes on with what it had begun under its lock.
NOTICED = "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3 -c tcp_user_timeout=60000"
NOTICING = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 1,
    "keepalives_count": 5,
    "tcp_user_timeout": 10_000,
}
BY_KEY = "-c enable_seqscan=off -c jit=off"


class Database:
    """One service's database: a pool of connections and the transactions on them.

    `by_key` is for a service that finds every row by its key. PostgreSQL keeps the plans of statements that it is asked
    again and again, and one that it made while a table was small would read all of that table for each row a day later.
    Nor is there any statement then that would be worth compiling.
    """

    def __init__(self, url: str, *, pool_size: int = 10, by_key: bool = False) -> None:
        options = f"{IN_UTC} {NOTICED}"
        self.engine = _engine(url, pool_size, f"{options} {BY_KEY}" if by_key else options)

    @property
    def is_postgresql(self) -> bool:
        """Whether advisory locks and several writing processes are at hand."""
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One unit of work: everything in the block commits together, or nothing does."""
        with self.engine.connect() as connection, transaction_on(connection):
            yield connection

    @contextmanager
    def reading(self, *, in_order: bool = False) -> Iterator[Connection]:
        """A connection for reading only; each statement sees what was committed when it began.

        `in_order` is for a queue that is read by its key: PostgreSQL must not sort it. It believes a queue to be as empty as
        when it was last vacuumed, and so would sort all that waits for each page. It takes three more round trips.
        """
        with self.engine.connect() as connection:
            if self.is_postgresql and in_order:
                connection.exec_driver_sql("SET LOCAL enable_sort = off")
            elif self.is_postgresql:
                # No transaction around it, which would cost two more round trips for each reader.
                connection.execution_options(isolation_level="AUTOCOMMIT")
            with _in_binary(connection) if self.is_postgresql else nullcontext():
                yield connection.execution_options(**READ)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection for several units of work, each begun by `transaction_on`."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def single(self) -> Iterator[Connection]:
        """A connection on which each statement is a unit of work of its own, for those that need no other beside them."""
        if not self.is_postgresql:
            with self.transaction() as connection:
                yield connection
            return
        with self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """A session with PostgreSQL that ends with the block, for locks and notifications; no transaction is open on it."""
        # AUTOCOMMIT: it may stay open for days, and must not hold back vacuum.
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            try:
                yield connection
            finally:
                # Closing the server's session frees what it holds even when that cannot be asked for. A connection that was
                # lost has no session left, and the outage that it met must reach the caller as it is.
                if not connection.invalidated:
                    connection.detach()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """The same, but every statement sees the database as it was at the first."""
        with self.engine.connect() as connection:
            # SQLite's transactions are like this anyway.
            yield connection.execution_options(isolation_level="REPEATABLE READ") if self.is_postgresql else connection

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


@contextmanager
def transaction_on(connection: Connection) -> Iterator[None]:
    """One unit of work on a connection that the caller keeps (a session-level lock may live on it)."""
    if connection.get_execution_options().keys() & READ.keys():
        raise RuntimeError("this connection is for reading")
    with connection.execution_options(**WRITE).begin():
        yield


def _engine(url: str, pool_size: int, options: str) -> Engine:
    parsed = make_url(url)
    # hide_parameters: an error message must never carry a row's values into a log.
    if parsed.get_backend_name() != "sqlite":
        engine = create_engine(
            parsed,
            connect_args={
                **{name: value for name, value in NOTICING.items() if name not in parsed.query},
                # After the options of the URL, which they would otherwise replace.
                "options": " ".join([*parsed.normalized_query.get("options", ()), options]),
            },
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_timeout=5,
            pool_pre_ping=False,
            hide_parameters=True,
        )
        event.listen(engine, "before_cursor_execute", _refuse_to_write_while_reading)
        return engine
    if parsed.database:
        own_folder(Path(parsed.database).parent)
        # What SQLite puts beside a database can be read by whoever can read that. It says itself what it cannot open.
        with suppress(OSError):
            own_file(Path(parsed.database))
    engine = create_engine(parsed, pool_size=pool_size, max_overflow=-1, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    event.listen(engine, "before_cursor_execute", _refuse_to_write_while_reading)
    return engine


def _refuse_to_write_while_reading(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
    # What is written outside a transaction would be there at once, and could not be taken back.
    reading = connection.get_execution_options().get("fireweed_read")
    if reading and not statement.lstrip().upper().startswith(("SELECT", "BEGIN", "PRAGMA")):
        raise RuntimeError("this connection is for reading")


class _BinaryCursor(psycopg.Cursor[Any]):
    """Gets rows as PostgreSQL keeps them, which takes half of the time that writing them as text and reading that does."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.format = psycopg.pq.Format.BINARY


@contextmanager
def _in_binary(connection: Connection) -> Iterator[None]:
    # Only where services read: SQLAlchemy's own questions about tables count on text.
    driver: Any = connection.connection.driver_connection
    driver.cursor_factory = _BinaryCursor
    try:
        yield
    finally:
        driver.cursor_factory = psycopg.Cursor


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction control is switched off; `_begin_sqlite` says BEGIN where SQLAlchemy means it.
    connection.isolation_level = None
    for pragma in ("busy_timeout=15000", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    _log_ahead(connection)


def _log_ahead(connection: Any) -> None:
    """Switch to write-ahead logging; of several that open a new file at once, SQLite lets one do so and tells the others off.

    Its busy timeout does not cover this one statement (https://sqlite.org/c3ref/busy_handler.html), so it is said again.
    """
    for _ in range(WAL_TRIES):
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode=WAL")
            return
        threading.Event().wait(WAL_PAUSE)
    connection.execute("PRAGMA journal_mode=WAL")


def _begin_sqlite(connection: Connection) -> None:
    # A write transaction takes the one write lock at once: a deferred one can fail half-way with SQLITE_BUSY.
    write = connection.get_execution_options().get("fireweed_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
