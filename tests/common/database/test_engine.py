"""Transactions, instants and conflicts, on SQLite and on PostgreSQL."""

import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Uuid,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from deploy.testing.postgresql import PostgresServer
from services.common.database.advisory_locks import session_socket
from services.common.database.column_types import BigId, Instant, Json
from services.common.database.engine import Database, transaction_on
from services.common.database.inserts import AlreadyThere, insert_all, insert_new, upsert
from tests.support.clocks import NOON
from tests.support.hubs import eventually

TIMEOUT = 20.0
only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
metadata = MetaData()
thing = Table(
    "thing",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("version", Integer, nullable=False, default=1),
    Column("note", String(32)),
)
word = Table(
    "word",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("note", String(32), nullable=False),
)
moment = Table(
    "moment",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("at", Instant),
    Column("d", Json),
)
value = Table(
    "value",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("bits", LargeBinary),
    Column("at", Instant),
    Column("d", Json),
    Column("words", String(64)),
)


class Unforeseen(Exception):
    """An error within a transaction."""


@pytest.fixture(autouse=True)
def tables(database: Database) -> None:
    metadata.create_all(database.engine)


def names(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.scalars(select(thing.c.name).order_by(thing.c.name)))


def versions(database: Database) -> dict[str, int]:
    with database.reading() as connection:
        return {row.name: row.version for row in connection.execute(select(thing))}


def test_a_transaction_commits_everything_in_it(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(insert(thing), {"name": "a"})
        connection.execute(insert(thing), {"name": "b"})
    assert names(database) == ["a", "b"]


def test_a_transaction_that_fails_commits_nothing(database: Database) -> None:
    def fail() -> None:
        with database.transaction() as connection:
            connection.execute(insert(thing), {"name": "a"})
            raise Unforeseen

    with pytest.raises(Unforeseen):
        fail()
    assert names(database) == []


def test_each_transaction_on_a_kept_connection_commits_alone(database: Database) -> None:
    def insert_and_fail(connection: Connection) -> None:
        with transaction_on(connection):
            connection.execute(insert(thing), {"name": "b"})
            raise Unforeseen

    with database.engine.connect() as connection:
        with transaction_on(connection):
            connection.execute(insert(thing), {"name": "a"})
        assert names(database) == ["a"]
        with pytest.raises(Unforeseen):
            insert_and_fail(connection)
        with transaction_on(connection):
            connection.execute(insert(thing), {"name": "c"})
    assert names(database) == ["a", "c"]


def test_nothing_can_be_written_while_reading(database: Database) -> None:
    with database.reading() as connection, pytest.raises(RuntimeError, match="for reading"):
        connection.execute(insert(thing), {"name": "a"})
    assert names(database) == []


def test_a_connection_that_was_read_on_can_be_written_on_later(database: Database) -> None:
    for name in ("a", "b"):
        assert name not in names(database)
        with database.transaction() as connection:
            connection.execute(insert(thing), {"name": name})
    assert names(database) == ["a", "b"]


def test_transaction_is_invisible_before_it_commits(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(insert(thing), {"name": "a"})
        assert names(database) == []
    assert names(database) == ["a"]


@pytest.mark.parametrize(
    "given",
    [NOON, NOON.astimezone(timezone(timedelta(hours=-3, minutes=-30))), datetime(2026, 1, 1, 0, 0, 0, 123456, UTC)],
)
def test_an_instant_comes_back_as_the_same_instant_in_utc(database: Database, given: datetime) -> None:
    with database.transaction() as connection:
        connection.execute(insert(moment), {"at": given})
    with database.reading() as connection:
        found = connection.execute(select(moment.c.at)).scalar_one()
    assert found == given
    assert found.utcoffset() == timedelta(0)


@only_postgresql
@pytest.mark.parametrize("zone", ["America/Toronto", "Asia/Tokyo"])
def test_instant_is_in_utc_in_any_zone_of_the_server(database: Database, database_url: str, zone: str) -> None:
    first, midnight = datetime(1, 1, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    with database.transaction() as connection:
        connection.execute(text(f"ALTER DATABASE {connection.engine.url.database} SET timezone TO '{zone}'"))
        connection.execute(insert(moment), [{"at": first}, {"at": midnight}])
    with closing(Database(database_url)) as another, another.reading() as connection:
        found = connection.scalars(select(moment.c.at).order_by(moment.c.id)).all()
    assert [instant.isoformat() for instant in found] == [first.isoformat(), midnight.isoformat()]


@only_postgresql
@pytest.mark.parametrize("by_key", [False, True])
def test_session_options_of_url_and_hub_both_hold(database_url: str, by_key: bool) -> None:
    url = f"{database_url}?options=-c%20statement_timeout%3D7s"
    with closing(Database(url, by_key=by_key)) as another, another.reading() as connection:
        told = [
            connection.scalar(select(func.current_setting(name)))
            for name in ("statement_timeout", "timezone", "enable_seqscan")
        ]
    assert told == ["7s", "UTC", "off" if by_key else "on"]


@only_postgresql
def test_vanished_machine_is_noticed_by_both_sides(database: Database) -> None:
    """Otherwise the lock of an opening on it keeps her from revoking for hours, and requests to it wait for minutes."""
    names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    with database.reading() as connection:
        theirs = [int(connection.scalar(select(func.current_setting(name))) or 0) for name in names]
        descriptor = session_socket(connection)
        assert descriptor is not None
        with socket.socket(fileno=os.dup(descriptor)) as opened:
            ours = [opened.getsockopt(socket.IPPROTO_TCP, option) for option in options]
            assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    for (idle, interval, count, milliseconds), most in ((theirs, 60), (ours, 10)):
        assert idle + interval * count == most
        assert milliseconds == most * 1000


@only_postgresql
def test_keepalive_options_of_the_url_take_precedence(database_url: str) -> None:
    with closing(Database(f"{database_url}?keepalives_idle=7")) as another, another.reading() as connection:
        descriptor = session_socket(connection)
        assert descriptor is not None
        with socket.socket(fileno=os.dup(descriptor)) as opened:
            assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7


def test_instants_of_different_zones_compare_as_instants(database: Database) -> None:
    west = timezone(timedelta(hours=-8))
    with database.transaction() as connection:
        connection.execute(insert(moment), [{"at": NOON.astimezone(west)}, {"at": NOON + timedelta(hours=1)}])
    with database.reading() as connection:
        before = connection.scalars(select(moment.c.at).where(moment.c.at < NOON + timedelta(minutes=30))).all()
    assert before == [NOON]


def test_missing_instant_stays_none(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(insert(moment), {"at": None, "d": {"é": [1, None, "x"]}})
    with database.reading() as connection:
        assert tuple(connection.execute(select(moment.c.at, moment.c.d)).one()) == (None, {"é": [1, None, "x"]})


def test_inserting_new_rows_returns_exactly_the_new_ones(database: Database) -> None:
    with database.transaction() as connection:
        assert insert_new(connection, thing, [{"name": "a"}, {"name": "b"}], "name") == [("a",), ("b",)]
        assert insert_new(connection, thing, [{"name": n} for n in "cab"], "name") == [("c",)]
        assert insert_new(connection, thing, [{"name": "a"}], "name") == []
        assert insert_new(connection, thing, [], "name") == []
    assert names(database) == ["a", "b", "c"]


def test_inserting_an_existing_row_does_not_change_it(database: Database) -> None:
    with database.transaction() as connection:
        insert_new(connection, thing, [{"name": "a", "version": 1}])
        insert_new(connection, thing, [{"name": "a", "version": 2}])
    assert versions(database) == {"a": 1}


def test_inserting_a_thousand_rows_returns_the_new_ones(database: Database) -> None:
    with database.transaction() as connection:
        insert_new(connection, thing, [{"name": str(n)} for n in range(0, 3000, 3)])
        new = insert_new(connection, thing, [{"name": str(n)} for n in range(3000)], "name")
    assert sorted(new) == sorted((str(n),) for n in range(3000) if n % 3)


def test_many_rows_store_values_of_every_kind_like_one_row(database: Database) -> None:
    rows = [
        {"id": uuid4(), "bits": bits, "at": NOON + timedelta(microseconds=number), "d": document, "words": content}
        for number, (bits, document, content) in enumerate(
            [
                (b"\x00\xff\\x27", {"a": ["é", 1.5, None, True]}, 'it\'s \\x41 "quoted" \u2028 \U0001f331\n'),
                (None, [], None),
            ]
        )
    ]
    with database.transaction() as connection:
        insert_new(connection, value, rows)
    with database.reading() as connection:
        assert [row._asdict() for row in connection.execute(select(value).order_by(value.c.at))] == rows


@pytest.mark.parametrize("count", [2, 50])
def test_inserted_rows_come_back_in_order_and_unchanged(database: Database, count: int) -> None:
    rows = [
        {
            "id": uuid4(),
            "bits": bytes([number, 0, 255, 92]),
            "at": NOON + timedelta(microseconds=number),
            "d": {"é": [number, 1.5, None, "\\x41", "\u2028"]},
            "words": f"it's {number}\t\\N \U0001f331\n",
        }
        for number in range(count)
    ]
    rows[1] |= {"bits": None, "at": None, "words": None}
    with database.transaction() as connection:
        insert_all(connection, value, rows)
    with database.reading() as connection:
        assert [row._asdict() for row in connection.execute(select(value))] == rows


def word_rows(count: int, note: str | None = "new") -> list[dict[str, str | None]]:
    return [{"name": str(number), "note": note} for number in range(count)]


def kept(database: Database) -> list[tuple[str, str]]:
    with database.reading() as connection:
        return [(row.name, row.note) for row in connection.execute(select(word).order_by(word.c.name))]


@pytest.mark.parametrize("count", [1, 2, 50])
def test_insert_with_an_existing_key_inserts_no_row(database: Database, count: int) -> None:
    last = str(count - 1)
    with database.transaction() as connection:
        insert_all(connection, word, [{"name": last, "note": "old"}])
    with pytest.raises(AlreadyThere), database.transaction() as connection:
        insert_all(connection, word, word_rows(count))
    assert kept(database) == [(last, "old")]


@pytest.mark.parametrize("count", [2, 50])
def test_invalid_value_is_not_reported_as_existing_key(database: Database, count: int) -> None:
    with pytest.raises(IntegrityError), database.transaction() as connection:
        insert_all(connection, word, word_rows(count, note=None))
    assert kept(database) == []


@only_postgresql
@pytest.mark.parametrize("count", [2, 50])
def test_lost_server_and_large_value_raise_their_own_errors(database: Database, count: int) -> None:
    """This holds for every way to insert, from one row to many."""
    too_large = [{"name": str(number), "version": 2**40} for number in range(count)]
    for table, rows in ((word, word_rows(count, "x" * 33)), (thing, too_large)):
        with pytest.raises(DataError), database.transaction() as connection:
            insert_all(connection, table, rows)

    def insert_into_nothing() -> None:
        with database.transaction() as connection, database.session() as other:
            other.execute(select(func.pg_terminate_backend(connection.scalar(select(func.pg_backend_pid())))))
            insert_all(connection, word, word_rows(count))

    with pytest.raises(OperationalError):
        insert_into_nothing()
    assert (kept(database), names(database)) == ([], [])


def test_row_inserted_concurrently_is_new_for_one_caller(database: Database) -> None:
    def insert_it(_number: int) -> int:
        with database.transaction() as connection:
            return len(insert_new(connection, thing, [{"name": "same"}], "name"))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(insert_it, range(16))) == 1


def test_an_upsert_inserts_and_replaces(database: Database) -> None:
    with database.transaction() as connection:
        upsert(connection, thing, [{"name": "a", "version": 5}, {"name": "b", "version": 5}])
        upsert(connection, thing, [{"name": "a", "version": 3}])
        upsert(connection, thing, [])
    assert versions(database) == {"a": 3, "b": 5}


def test_upsert_by_version_never_restores_an_older_row(database: Database) -> None:
    with database.transaction() as connection:
        for version in (2, 5, 3, 5, 4):
            row = {"name": "a", "version": version, "note": f"version {version}"}
            upsert(connection, thing, [row], newer="version")
    with database.reading() as connection:
        assert tuple(connection.execute(select(thing)).one()) == ("a", 5, "version 5")


def test_an_error_message_does_not_list_the_parameters(database: Database) -> None:
    row = {"name": "a", "version": None, "note": "Sample Aspen"}

    def insert_wrong() -> None:
        with database.transaction() as connection:
            connection.execute(insert(thing), row)

    with pytest.raises(IntegrityError) as caught:
        insert_wrong()
    # The driver's own message may hold values, but only the class of an error is logged.
    assert "Sample Aspen" not in str(caught.value).replace(str(caught.value.orig), "")


@only_postgresql
def test_log_of_the_server_holds_no_value_of_a_row(database: Database, postgres_server: PostgresServer) -> None:
    canary = f"Sample {uuid4().hex[:16]}"
    with pytest.raises(IntegrityError) as caught, database.transaction() as connection:
        connection.execute(insert(thing), {"name": "a", "version": None, "note": canary})
    assert canary in str(caught.value.orig)
    log = postgres_server.folder / "server.log"
    eventually(lambda: "violates not-null constraint" in log.read_text())
    assert canary not in log.read_text()


@only_sqlite
def test_many_writers_wait_for_each_other(database: Database) -> None:
    def write(number: int) -> None:
        for turn in range(10):
            with database.transaction() as connection:
                held = connection.scalar(select(thing.c.version).where(thing.c.name == "counter")) or 0
                upsert(connection, thing, [{"name": "counter", "version": held + 1}])
                connection.execute(insert(thing), {"name": f"{number}-{turn}"})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert versions(database)["counter"] == 80


@only_sqlite
def test_a_reader_is_not_held_up_by_a_writer(database: Database) -> None:
    done = threading.Event()
    with database.transaction() as connection:
        connection.execute(insert(thing), {"name": "a"})
        reading = threading.Thread(target=lambda: done.set() if names(database) == [] else None)
        reading.start()
        assert done.wait(TIMEOUT)
        reading.join()


@only_sqlite
def test_commit_returns_after_the_rows_are_on_disk(database: Database) -> None:
    with database.reading() as connection:
        assert connection.scalar(text("PRAGMA synchronous")) == 2  # FULL
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"


def test_database_in_an_open_folder_is_unreadable_for_others(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    with closing(Database(f"sqlite:///{folder / 'rows.sqlite'}")) as made, made.transaction() as connection:
        metadata.create_all(connection)
        files = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert files == dict.fromkeys(["rows.sqlite", "rows.sqlite-wal", "rows.sqlite-shm"], 0o600)


def test_opening_a_database_twice_keeps_its_file_locks(tmp_path: Path) -> None:
    """A process that closes a file loses its locks on it; another process that closes the database would remove its log."""
    path = tmp_path / "rows" / "rows.sqlite"
    with closing(Database(f"sqlite:///{path}")) as first:
        with first.transaction() as connection:
            metadata.create_all(connection)
        with closing(Database(f"sqlite:///{path}")):
            other = (
                "import sqlite3, sys; it = sqlite3.connect(sys.argv[1]); it.execute('PRAGMA user_version'); it.close()"
            )
            subprocess.run([sys.executable, "-c", other, str(path)], check=True)
        assert path.with_name("rows.sqlite-wal").exists()


def test_folder_of_a_database_file_is_created(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path / 'a' / 'b' / 'c.sqlite'}")) as made, made.reading() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
