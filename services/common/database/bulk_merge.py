"""Merges many rows into a table with a fixed number of statements; the new rows are staged in a temporary table."""

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
# Builds a statement without parameters for a dialect.
Step = Callable[[str], Executable]
# A join of a few rows with a large table must never read the whole table. PostgreSQL would choose that, because a temporary
# table has no statistics and those of a growing table are too small.
PLANNING = ("SET LOCAL enable_hashjoin = off", "SET LOCAL enable_mergejoin = off")


def stage(name: str, table: Table, *more: Column[Any]) -> Table:
    """Define a temporary table for rows that will be merged into `table`, with its columns and `more` of its own."""
    columns = [Column(column.name, column.type) for column in (*table.columns, *more)]
    temporary: Any = {"prefixes": ["TEMPORARY"], "postgresql_on_commit": "DELETE ROWS"}
    return Table(name, MetaData(), *columns, **temporary)


def empty(connection: Connection, *places: Table) -> None:
    """Create these temporary tables if they are missing, and delete all of their rows."""
    for statement in _emptying(connection.dialect, places):
        connection.exec_driver_sql(statement)


def put(connection: Connection, place: Table, rows: Rows) -> None:
    """Insert rows, each with a value for every column in order, into an empty temporary table."""
    insert_rows(connection, place, place.columns.keys(), rows)


def do(connection: Connection, *steps: Step) -> None:
    """Execute steps in order. PostgreSQL gets all of them as one query, and so plans each of them anew every time.

    Sent alone, a statement without parameters keeps its plan, and a plan made while a table was small reads all of it.
    """
    for statement in _written(connection.dialect, steps):
        connection.exec_driver_sql(statement)


def always(statement: Executable) -> Step:
    """Return a step that executes the same statement on every database."""
    return lambda _: statement


def merge(table: Table, new: Select[Any], joined: Joined) -> Step:
    """Return a step that inserts the rows of a query, or merges them with existing rows of the same primary key.

    The query returns a value for every column and no key twice. `joined` gets the existing and the new columns, and returns
    the values to store.
    """

    def step(dialect: str) -> Executable:
        insert: Any = (postgresql if dialect == "postgresql" else sqlite).insert(table)
        # SQLite takes ON CONFLICT after a query only if that has a WHERE.
        insert = insert.from_select(list(table.columns), new.where(true()))
        changed = joined(table.c, insert.excluded)
        # A row that the merge does not change must not be written again.
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
    """Join statements into one query where the database accepts several at once; it then prepares none of them."""
    return ["; ".join(statements)] if dialect.name == "postgresql" else statements
