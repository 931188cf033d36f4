"""Joins many rows with what a table holds, in a few statements however many they are; the rows wait in a temporary table."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Executable,
    MetaData,
    Select,
    Table,
    or_,
    true,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from services.common.database.inserts import Columns, Rows, insert_rows

Joined = Callable[[Columns, Columns], Mapping[str, ColumnElement[Any]]]
# A statement that needs no parameters, as it is for a dialect.
Step = Callable[[str], Executable]
# How statements that join a few rows with many are planned: never by reading all of the many. What waits in a temporary table
# has no statistics, and a table that grows is taken for smaller than it is.
PLANNING = ("SET LOCAL enable_hashjoin = off", "SET LOCAL enable_mergejoin = off")


def stage(name: str, table: Table, *more: Column[Any]) -> Table:
    """Where rows of a table, with more columns perhaps, wait to be joined with it."""
    columns = [Column(column.name, column.type) for column in (*table.columns, *more)]
    temporary: Any = {"prefixes": ["TEMPORARY"], "postgresql_on_commit": "DELETE ROWS"}
    return Table(name, MetaData(), *columns, **temporary)


def empty(connection: Connection, *places: Table) -> None:
    """Let nothing wait in these places."""
    for statement in _emptying(connection.dialect, places):
        connection.exec_driver_sql(statement)


def put(connection: Connection, place: Table, rows: Rows) -> None:
    """Let rows, each a value for every column in order, wait in an empty place."""
    insert_rows(connection, place, place.columns.keys(), rows)


def do(connection: Connection, *steps: Step) -> None:
    """Do one step after the other. PostgreSQL is told all of them at once, and so plans each of them anew every time.

    It would keep the plan of a statement without parameters: one made while a table was small reads all of it.
    """
    for statement in _written(connection.dialect, steps):
        connection.exec_driver_sql(statement)


def always(statement: Executable) -> Step:
    """A step that is the same for every database."""
    return lambda _: statement


def merge(table: Table, new: Select[Any], joined: Joined) -> Step:
    """Insert what a query finds, a value for every column, or join it with the rows of the same primary key.

    `joined` is given what is there and what is new. No key may be found twice.
    """

    def step(dialect: str) -> Executable:
        insert: Any = (postgresql if dialect == "postgresql" else sqlite).insert(table)
        # SQLite takes ON CONFLICT after a query only if that has a WHERE.
        insert = insert.from_select(list(table.columns), new.where(true()))
        changed = joined(table.c, insert.excluded)
        # A row that the join leaves as it is must not be written again.
        differs = or_(*(table.c[name] != value for name, value in changed.items()))
        keys = list(table.primary_key)
        statement: Executable = insert.on_conflict_do_update(index_elements=keys, set_=changed, where=differs)
        return statement

    return step


@cache
def _emptying(dialect: Dialect, places: Sequence[Table]) -> Sequence[str]:
    steps = [step for place in places for step in (CreateTable(place, if_not_exists=True), place.delete())]
    return _one(dialect, [str(step.compile(dialect=dialect)) for step in steps])


@cache
def _written(dialect: Dialect, steps: Sequence[Step]) -> Sequence[str]:
    # Every statement that is put together here can be compiled; the type of those that can be executed does not say so.
    written = [
        str(step(dialect.name).compile(dialect=dialect, compile_kwargs={"literal_binds": True}))  # type: ignore[attr-defined]
        for step in steps
    ]
    return _one(dialect, [*PLANNING, *written] if dialect.name == "postgresql" else written)


def _one(dialect: Dialect, statements: Sequence[str]) -> Sequence[str]:
    """Statements as one where the database takes several at once; it prepares none of them then."""
    return ["; ".join(statements)] if dialect.name == "postgresql" else statements
