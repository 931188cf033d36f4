"""Many rows merge into a table from a temporary table that empties itself, on SQLite and on PostgreSQL."""

from collections.abc import Mapping

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, func, select, text
from sqlalchemy.exc import IntegrityError

from services.common.database.advisory_locks import lock_until_commit
from services.common.database.bulk_merge import do, empty, merge, put, stage
from services.common.database.column_types import Code
from services.common.database.engine import Database, transaction_on
from services.common.database.inserts import Rows

only_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
metadata = MetaData()
score = Table("score", metadata, Column("name", Code(8), primary_key=True), Column("points", Integer, nullable=False))
new_scores = stage("new_score", score)
add = merge(score, select(new_scores), lambda old, new: {"points": old.points + new.points})


class Crash(Exception):
    """The process dies before it commits."""


@pytest.fixture(autouse=True)
def tables(database: Database) -> None:
    metadata.create_all(database.engine)


def play(connection: Connection, points: Mapping[str, int | None]) -> None:
    lock_until_commit(connection, "game")
    empty(connection, new_scores)
    put(connection, new_scores, Rows.of(list(points.items())))
    do(connection, add)


def play_in(database: Database, points: Mapping[str, int | None]) -> None:
    with database.transaction() as connection:
        play(connection, points)


def play_and_die(database: Database) -> None:
    with database.transaction() as connection:
        play(connection, {"ash": 1})
        raise Crash


def written(connection: Connection) -> dict[str, str]:
    """Return the place of each row, which changes when the row is written."""
    return {row.name: row.place for row in connection.execute(text("SELECT name, ctid::text AS place FROM score"))}


def scores(database: Database) -> dict[str, int]:
    with database.reading() as connection:
        return {row.name: row.points for row in connection.execute(select(score))}


def test_new_rows_are_inserted_and_existing_ones_merged(database: Database) -> None:
    for points in ({"ash": 1, "elm": 2}, {"elm": 3, "oak": 4}):
        play_in(database, points)
    assert scores(database) == {"ash": 1, "elm": 5, "oak": 4}


def test_each_merge_takes_only_the_rows_put_last(database: Database) -> None:
    with database.transaction() as connection:
        for points in ({"ash": 1}, {"elm": 2}, {}):
            play(connection, points)
    assert scores(database) == {"ash": 1, "elm": 2}


def test_crash_rolls_back_merged_and_staged_rows(database: Database) -> None:
    with pytest.raises(Crash):
        play_and_die(database)
    with database.transaction() as connection:
        play(connection, {"elm": 2})
    assert scores(database) == {"elm": 2}


def test_thousands_of_rows_merge_at_once(database: Database) -> None:
    for _ in range(2):
        with database.transaction() as connection:
            play(connection, {f"tree{number}": number for number in range(5000)})
    assert sum(scores(database).values()) == 2 * sum(range(5000))


@only_postgresql
def test_staged_rows_are_gone_after_the_commit(database: Database) -> None:
    with database.connection() as connection, transaction_on(connection):
        play(connection, {"ash": 1})
        process = connection.scalar(select(func.pg_backend_pid()))
    with database.transaction() as connection:
        assert connection.scalar(select(func.pg_backend_pid())) == process
        assert connection.scalar(select(func.count()).select_from(new_scores)) == 0


@only_postgresql
def test_row_that_the_merge_does_not_change_is_not_written(database: Database) -> None:
    with database.transaction() as connection:
        play(connection, {"ash": 1, "elm": 1})
        before = written(connection)
        play(connection, {"ash": 0, "elm": 1})
        after = written(connection)
    assert after["ash"] == before["ash"]
    assert after["elm"] != before["elm"]


@only_postgresql
def test_plan_of_a_small_table_is_not_kept(database: Database) -> None:
    with database.connection() as connection:
        for _ in range(12):
            with transaction_on(connection):
                play(connection, {"ash": 1})
        kept = connection.execute(
            text("SELECT statement FROM pg_prepared_statements WHERE statement LIKE '%INTO score%'")
        )
        assert kept.all() == []


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "a\rb", "\\N", "\\.", "a\\tb", "None", ""])
def test_value_with_a_meaning_in_copy_stays_unchanged(database: Database, name: str) -> None:
    for points in ({name: 1, "ash": 2}, {"elm": 3, name: 4}):
        play_in(database, points)
    assert scores(database) == {name: 5, "ash": 2, "elm": 3}


def test_missing_value_is_not_stored_as_text(database: Database) -> None:
    with pytest.raises(IntegrityError):
        play_in(database, {"ash": None})
    assert scores(database) == {}


def test_codes_are_compared_by_their_bytes(database: Database) -> None:
    with database.transaction() as connection:
        play(connection, {"b": 1, "B": 1, "a": 1, "é": 1, "_": 1})
    with database.reading() as connection:
        assert list(connection.scalars(select(score.c.name).order_by(score.c.name))) == sorted("bBaé_")
