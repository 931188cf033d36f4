"""A name has one holder, transactions share or exclude each other, and listeners are notified, on PostgreSQL."""

import threading
from contextlib import closing

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from services.common.database.advisory_locks import lock_until_commit, notified, sole
from services.common.database.engine import Database
from tests.support.server_failures import end_sessions

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


class Unforeseen(Exception):
    """An error within a block."""


@only_postgresql
def test_name_has_one_holder_at_a_time(database: Database, database_url: str) -> None:
    with closing(Database(database_url)) as another_process:
        with sole(database, "relay:test") as first:
            assert first()
            with sole(another_process, "relay:test") as second:
                assert not second()
            with sole(another_process, "relay:other") as other:
                assert other()
            assert first()
        with sole(another_process, "relay:test") as third:
            assert third()


@only_postgresql
def test_a_name_is_free_as_soon_as_its_holder_fails(database: Database, database_url: str) -> None:
    with pytest.raises(Unforeseen), sole(database, "relay:test"):
        raise Unforeseen
    with closing(Database(database_url)) as another_process, sole(another_process, "relay:test") as alone:
        assert alone()


@only_postgresql
def test_holder_with_lost_connection_gets_an_outage(database: Database, database_url: str) -> None:
    def hold_on() -> None:
        with sole(database, "relay:test") as alone:
            assert alone()
            end_sessions(database_url)
            alone()

    # The worker takes an `OperationalError` for an outage and restarts the loop; any other error would end the process.
    with pytest.raises(OperationalError):
        hold_on()


@only_postgresql
def test_listener_with_lost_connection_gets_an_outage(database: Database, database_url: str) -> None:
    def listen_on() -> None:
        with notified(database, "outbox") as wait:
            end_sessions(database_url)
            wait(5.0)

    with pytest.raises(OperationalError):
        listen_on()


@only_postgresql
def test_name_of_holder_with_lost_connection_is_free(database: Database, database_url: str) -> None:
    with closing(Database(database_url)) as another_process, sole(database, "relay:test") as alone:
        assert alone()
        end_sessions(database_url)
        with sole(another_process, "relay:test") as successor:
            assert successor()
            with pytest.raises(OperationalError):
                alone()


@only_postgresql
def test_held_name_keeps_no_transaction_open(database: Database, database_url: str) -> None:
    with sole(database, "relay:test") as alone, closing(Database(database_url)) as watcher:
        assert alone()
        with watcher.reading() as connection:
            others = "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            assert set(connection.scalars(text(others))) == {"idle"}


@only_postgresql
@pytest.mark.parametrize("key", ["game", 7, -(2**63)])
def test_shared_locks_of_a_transaction_exclude_only_exclusive(
    database: Database, database_url: str, key: str | int
) -> None:
    """Two transactions share the lock of a key; a third gets it for itself only after both have ended."""
    ended = threading.Event()

    def change() -> None:
        with closing(Database(database_url)) as another_process, another_process.transaction() as connection:
            lock_until_commit(connection, key)
            ended.set()

    waiting = threading.Thread(target=change, daemon=True)
    with database.transaction() as first, database.transaction() as second:
        lock_until_commit(first, key, shared=True)
        lock_until_commit(second, key, shared=True)
        waiting.start()
        assert not ended.wait(0.2)
    assert ended.wait(20)
    waiting.join(20)


@only_sqlite
def test_sqlite_gives_a_name_to_every_caller(database: Database) -> None:
    with sole(database, "relay:test") as first, sole(database, "relay:test") as second:
        assert first()
        assert second()
