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
    func,
    literal,
    or_,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from services.common.database import Columns, insert_rows

Joined = Callable[[Columns, Columns], Mapping[str, ColumnElement[Any]]]


def stage(table: Table, *more: Column[Any]) -> Table:
    """Where rows of a table, with more columns perhaps, wait to be joined with it."""
    columns = [Column(column.name, column.type) for column in table.columns]
    temporary: Any = {"prefixes": ["TEMPORARY"], "postgresql_on_commit": "DELETE ROWS"}
    return Table(f"new_{table.name}", MetaData(), *columns, *more, **temporary)


def put(connection: Connection, place: Table, rows: Sequence[Sequence[Any]]) -> None:
    """Let rows, each a value for every column in order, and no others wait in a place."""
    connection.execute(_creation(connection.dialect, place))
    connection.execute(place.delete())
    insert_rows(connection, place, place.columns.keys(), rows)


def merge(connection: Connection, table: Table, new: Select[Any], joined: Joined) -> None:
    """Insert what a query finds, a value for every column, or join it with the rows of the same primary key.

    `joined` is given what is there and what is new. No key may be found twice.
    """
    connection.execute(_merging(connection.dialect.name, table, new, joined))


@cache
def _merging(dialect: str, table: Table, new: Select[Any], joined: Joined) -> Executable:
    insert: Any = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    # SQLite takes ON CONFLICT after a query only if that has a WHERE.
    insert = insert.from_select(list(table.columns), new.where(anew()))
    changed = joined(table.c, insert.excluded)
    # A row that the join leaves as it is must not be written again.
    differs = or_(*(table.c[name] != value for name, value in changed.items()))
    keys = list(table.primary_key)
    statement: Executable = insert.on_conflict_do_update(index_elements=keys, set_=changed, where=differs)
    return statement


def alone(connection: Connection, name: str) -> None:
    """Until the transaction ends nobody else does what has this name. SQLite lets one write at a time anyway."""
    if connection.dialect.name == "postgresql":
        lock = func.pg_advisory_xact_lock(func.hashtextextended(name, 0))
        connection.execute(select(lock, func.set_config("plan_cache_mode", "force_custom_plan", True)))


def anew() -> ColumnElement[bool]:
    """A condition that always holds, for statements that `alone` wants planned each time they run.

    PostgreSQL keeps the plan of a statement without parameters: one made while a table was small reads all of it.
    """
    return literal(True)


@cache
def _creation(dialect: Dialect, place: Table) -> Executable:
    return text(str(CreateTable(place, if_not_exists=True).compile(dialect=dialect)))
