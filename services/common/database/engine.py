"""Connections and transactions on SQLite and PostgreSQL; the only module that commits."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

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

# By default a server returns times in its own zone: near midnight that is another date, and the first day of all has none.
IN_UTC = "-c timezone=UTC"
# A machine that vanishes would hold survivors' locks, or threads here, for hours; so both sides send keepalives. PostgreSQL
# waits a minute, since a machine that was only suspended goes on with the work that it began under its lock.
NOTICED = "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3 -c tcp_user_timeout=60000"
NOTICING = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 1,
    "keepalives_count": 5,
    "tcp_user_timeout": 10_000,
}
BY_KEY = "-c enable_seqscan=off -c jit=off"
LastAct = Callable[[Connection, Sequence[Any]], None]
_last_acts: WeakKeyDictionary[Connection, dict[LastAct, list[Any]]] = WeakKeyDictionary()


class Database:
    """One service's database: a pool of connections and the transactions on them.

    `by_key` is for a service that finds every row by its key. PostgreSQL keeps the plans of repeated statements, and a plan
    made while a table was small would later read all of the grown table for each row; `by_key` forbids such plans. It also
    switches off compilation, which no statement of such a service is worth.
    """

    def __init__(self, url: str, *, pool_size: int = 10, by_key: bool = False) -> None:
        options = f"{IN_UTC} {NOTICED}"
        self.engine = _engine(url, pool_size, f"{options} {BY_KEY}" if by_key else options)

    @property
    def is_postgresql(self) -> bool:
        """Tell whether this is PostgreSQL, which has advisory locks and allows several writing processes."""
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection in a transaction: everything in the block commits together, or nothing does."""
        with self.engine.connect() as connection, transaction_on(connection):
            yield connection

    @contextmanager
    def reading(self, *, in_order: bool = False) -> Iterator[Connection]:
        """Yield a connection for reading only; each statement sees the rows that were committed when it began.

        `in_order` is for a queue that is read by its key, and forbids PostgreSQL to sort. The planner takes a queue for as
        empty as at the last vacuum, and so would sort the whole queue for each page. It costs three more round trips.
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
        """Yield a connection for several transactions, each begun by `transaction_on`."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def single(self) -> Iterator[Connection]:
        """Yield a connection on which each statement commits by itself; on SQLite the whole block is one transaction."""
        if not self.is_postgresql:
            with self.transaction() as connection:
                yield connection
            return
        with self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """Yield a session with PostgreSQL that ends with the block, for locks and notifications; no transaction is open."""
        # AUTOCOMMIT: it may stay open for days, and must not hold back vacuum.
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            try:
                yield connection
            finally:
                # Closing the server's session frees its locks even when they cannot be released by a statement. A lost
                # connection has no session any more, and its outage must reach the caller unchanged.
                if not connection.invalidated:
                    connection.detach()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Yield a connection for reading on which every statement sees the rows that the first one saw."""
        with self.engine.connect() as connection:
            # Transactions of SQLite do this by default.
            yield connection.execution_options(isolation_level="REPEATABLE READ") if self.is_postgresql else connection

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


@contextmanager
def transaction_on(connection: Connection) -> Iterator[None]:
    """Run the block in a transaction on a connection of the caller (which may hold a session-level lock)."""
    if connection.get_execution_options().keys() & READ.keys():
        raise RuntimeError("this connection is for reading")
    acts = _last_acts[connection] = {}
    try:
        with connection.execution_options(**WRITE).begin():
            yield
            for act, items in acts.items():
                act(connection, items)
    finally:
        _last_acts.pop(connection, None)


def at_the_end(connection: Connection, act: LastAct, item: object) -> None:
    """Let `act` be done once, as the last thing before the present transaction commits, with every item given for it.

    For what takes locks that many transactions want: it is held only while the commit is written, and a transaction that
    waits for it holds no other lock of this kind. Raises `LookupError` outside of a transaction.
    """
    _last_acts[connection].setdefault(act, []).append(item)


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
        # SQLite gives the files beside a database the permissions of the database. An error is left for SQLite to report.
        with suppress(OSError):
            own_file(Path(parsed.database))
    engine = create_engine(parsed, pool_size=pool_size, max_overflow=-1, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    event.listen(engine, "before_cursor_execute", _refuse_to_write_while_reading)
    return engine


def _refuse_to_write_while_reading(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
    # A write outside a transaction would commit at once, and could not be rolled back.
    reading = connection.get_execution_options().get("fireweed_read")
    if reading and not statement.lstrip().upper().startswith(("SELECT", "BEGIN", "PRAGMA")):
        raise RuntimeError("this connection is for reading")


class _BinaryCursor(psycopg.Cursor[Any]):
    """Gets rows in PostgreSQL's binary format, which takes half of the time of the text format."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.format = psycopg.pq.Format.BINARY


@contextmanager
def _in_binary(connection: Connection) -> Iterator[None]:
    # Only where services read: SQLAlchemy's own queries about tables need text.
    driver: Any = connection.connection.driver_connection
    driver.cursor_factory = _BinaryCursor
    try:
        yield
    finally:
        driver.cursor_factory = psycopg.Cursor


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction control is switched off; `_begin_sqlite` sends BEGIN where SQLAlchemy begins.
    connection.isolation_level = None
    for pragma in ("busy_timeout=15000", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    _log_ahead(connection)


def _log_ahead(connection: Any) -> None:
    """Switch to write-ahead logging, trying again while another connection switches the same new file.

    SQLite's busy timeout does not cover this one statement (https://sqlite.org/c3ref/busy_handler.html).
    """
    for _ in range(WAL_TRIES):
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode=WAL")
            return
        threading.Event().wait(WAL_PAUSE)
    connection.execute("PRAGMA journal_mode=WAL")


def _begin_sqlite(connection: Connection) -> None:
    # A write transaction takes the one write lock at its start: a deferred one can fail half-way with SQLITE_BUSY.
    write = connection.get_execution_options().get("fireweed_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
