"""Inserts: many rows in one statement or by COPY, and rows that may already exist."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from pydantic_core import to_json
from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Dialect,
    Executable,
    Integer,
    Table,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, registry, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.sql.base import ReadOnlyColumnCollection

# For fewer rows, starting a COPY takes longer than inserting them.
WORTH_COPYING = 10
POSTGRESQL: Dialect = registry.load("postgresql.psycopg")()
SQLITE_KEYS = {"SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"}
Row = Mapping[str, Any]
Columns = ReadOnlyColumnCollection[str, Any]
# Texts with a meaning of their own in COPY, and Python's text for no value.
COPY_KNOWS = ("\\", "\r", "\0", "None")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of plain values; `copied` is their text for COPY, written in advance, or None if the text needs escaping."""

    values: Sequence[Sequence[Any]]
    copied: str | None

    @classmethod
    def of(cls, values: Sequence[Sequence[Any]]) -> "Rows":
        """Return these rows with their text for COPY."""
        copied = "\n".join(["\t".join(map(str, row)) for row in values])
        # Values with tabs, line ends or backslashes, and missing values, are left to the driver, which escapes them.
        tabs, lines = sum(map(len, values)) - len(values), len(values) - 1
        simple = (
            copied.count("\t") == tabs
            and copied.count("\n") == lines
            and not any(known in copied for known in COPY_KNOWS)
        )
        return cls(values, copied if simple else None)


class AlreadyThere(Exception):
    """A row cannot be inserted because its key already exists."""


def insert_new(connection: Connection, table: Table, rows: Sequence[Row], *returning: str) -> list[tuple[Any, ...]]:
    """Insert the rows whose key does not exist yet; return the named columns of the inserted rows."""
    if not rows:
        return []
    as_document = connection.dialect.name == "postgresql" and len(rows) > 1
    statement = _inserting_new(connection.dialect.name, table, tuple(rows[0]) if as_document else (), returning)
    values: Any = {"rows": _document(rows)} if as_document else list(rows) if len(rows) > 1 else dict(rows[0])
    result = connection.execute(statement, values)
    return [tuple(row) for row in result] if returning else []


def insert_all(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows in order; raises `AlreadyThere` if one of their keys exists, and the transaction cannot go on."""
    try:
        names = tuple(rows[0])
        worth_copying = connection.dialect.name == "postgresql" and len(rows) >= WORTH_COPYING
        if not (worth_copying and _without_numbers(table, names)):
            connection.execute(table.insert().inline(), rows[0] if len(rows) == 1 else list(rows))
        else:
            _copy_in_binary(connection, table, names, rows)
    except IntegrityError as error:
        if not _is_of_a_key(error.orig):
            raise
        raise AlreadyThere from error


def insert_rows(connection: Connection, table: Table, names: Sequence[str], rows: Rows) -> None:
    """Insert rows, each with a value for every named column in order; our own column types do not convert them."""
    if connection.dialect.name == "postgresql":
        _copy(connection, table, names, rows.values, rows.copied)
    elif rows.values:
        connection.execute(table.insert(), [dict(zip(names, row, strict=True)) for row in rows.values])


def _is_of_a_key(error: BaseException | None) -> bool:
    name = getattr(error, "sqlite_errorname", None)
    return isinstance(error, psycopg.errors.UniqueViolation) or name in SQLITE_KEYS


@cache
def _without_numbers(table: Table, names: Sequence[str]) -> bool:
    # In binary, the driver silently truncates a number that is too large for its column.
    return not any(isinstance(table.c[name].type, Integer) for name in names)


def _copy_in_binary(connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Row]) -> None:
    # Takes half of the time of COPY in text, where bytes are twice as long, and less than half of that of any INSERT.
    statement, kinds = _copying(table, names)
    with _copier(connection, statement) as copy:
        copy.set_types(kinds)
        for row in rows:
            copy.write_row([row[name] for name in names])


@cache
def _copying(table: Table, names: Sequence[str]) -> tuple[sql.Composed, list[str]]:
    # The binary format needs exactly the type of the column.
    kinds = [table.c[name].type.compile(POSTGRESQL).partition("(")[0].lower() for name in names]
    return _copy_into(table, names, " (FORMAT BINARY)"), kinds


def _copy_into(table: Table, names: Sequence[str], options: LiteralString = "") -> sql.Composed:
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    return sql.SQL("COPY {} ({}) FROM STDIN" + options).format(sql.Identifier(table.name), columns)


@contextmanager
def _copier(connection: Connection, statement: sql.Composed) -> Iterator[psycopg.Copy]:
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            yield copy
    except psycopg.Error as error:
        # SQLAlchemy did not see this error, but callers handle outages and conflicts by SQLAlchemy's classes.
        raise DBAPIError.instance("COPY", None, error, psycopg.Error, hide_parameters=True) from error


def _copy(
    connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Sequence[Any]], copied: str | None = None
) -> None:
    # The driver writes these rows in C, on the same connection and so in the same transaction.
    with _copier(connection, _copy_into(table, names)) as copy:
        if copied is not None:
            copy.write(copied)
            return
        for row in rows:
            copy.write_row(row)


@cache
def _inserting_new(dialect: str, table: Table, in_document: Sequence[str], returning: Sequence[str]) -> Executable:
    statement: Any = (postgresql if dialect == "postgresql" else sqlite).insert(table)
    if in_document:
        # Rows as one JSON document keep the statement's text the same for any number of rows. A statement that grows with
        # its rows, or an array for each column, costs several times as much as PostgreSQL's work on the rows.
        document = cast(bindparam("rows", type_=Text), JSON)
        kind: ColumnElement[Any] = literal_column(f"NULL::{table.name}")
        rows = func.json_populate_recordset(kind, document).table_valued(*in_document)
        statement = statement.from_select(list(in_document), select(*(rows.c[name] for name in in_document)))
    statement = statement.on_conflict_do_nothing()
    new: Executable = statement.returning(*[table.c[name] for name in returning]) if returning else statement
    return new


def _document(rows: Sequence[Row]) -> str:
    """Return rows as a JSON array that PostgreSQL reads as rows of their table; bytes are in its hexadecimal form."""
    texts = [
        {name: f"\\x{value.hex()}" if isinstance(value, bytes) else value for name, value in row.items()}
        for row in rows
    ]
    return to_json(texts).decode()


def upsert(connection: Connection, table: Table, rows: Sequence[Row], *, newer: str | None = None) -> None:
    """Insert rows or replace those with the same primary key; with `newer`, never by a row with less in that column."""
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    new = statement.excluded
    keys = {column.name for column in table.primary_key}
    changed = {name: new[name] for name in rows[0] if name not in keys}
    condition = table.c[newer] <= new[newer] if newer else None
    connection.execute(
        statement.on_conflict_do_update(index_elements=sorted(keys), set_=changed, where=condition), list(rows)
    )
