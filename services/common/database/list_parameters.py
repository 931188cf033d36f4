"""Lists as one parameter: a statement is built once, and its text stays the same for any number of values.

A statement that grows with its values is planned anew for each number of values, and building it takes longer than
PostgreSQL needs to answer it. Written as JSON, a list is one text that both databases can parse.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import to_json
from sqlalchemy import BigInteger, ColumnElement, Select, Text, Uuid, and_, bindparam, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


def listed(values: Iterable[object]) -> str:
    """Return values, or pairs of values, as the parameter of a statement.

    A text ends at a NUL in SQLite, and PostgreSQL refuses it: rely on the rows that are found, not on the values asked for.
    """
    return to_json(list(values)).decode()


def one_of(column: ColumnElement[Any], parameter: str) -> ColumnElement[bool]:
    """Return the condition that a column of texts, large numbers or UUIDs holds a value of the parameter's list."""
    kinds = {Uuid: _OneOfUuids, BigInteger: _OneOfNumbers}
    kind = next((kind for of, kind in kinds.items() if isinstance(column.type, of)), _OneOfTexts)
    found: ColumnElement[bool] = kind(column, bindparam(parameter, type_=Text))
    return found


def rows_like(columns: Sequence[ColumnElement[Any]], parameter: str) -> Select[Any]:
    """Select the rows whose two text columns equal one of the pairs of the parameter's list (each pair listed once)."""
    [table] = {column.table for column in columns}
    pair = _Pairs(bindparam(parameter, type_=Text)).table_valued("value")
    same = [column == part(pair.c.value) for column, part in zip(columns, (_First, _Second), strict=True)]
    return select(table).join(pair, and_(*same))


class _Spelled(FunctionElement[Any]):
    """An expression that each database spells in its own way; `{0}` is its first argument."""

    inherit_cache = True
    postgresql = sqlite = ""


class _OneOfTexts(_Spelled):
    # As an array: for a join, PostgreSQL may read a whole table that has grown since its last statistics.
    inherit_cache = True
    postgresql = "({0} = ANY (ARRAY(SELECT json_array_elements_text(CAST({1} AS JSON)))))"
    sqlite = "({0} IN (SELECT value FROM json_each({1})))"


class _OneOfNumbers(_OneOfTexts):
    inherit_cache = True
    postgresql = "({0} = ANY (ARRAY(SELECT CAST(json_array_elements_text(CAST({1} AS JSON)) AS BIGINT))))"


class _OneOfUuids(_OneOfTexts):
    # SQLite stores UUIDs as texts without dashes.
    inherit_cache = True
    postgresql = "({0} = ANY (ARRAY(SELECT CAST(json_array_elements_text(CAST({1} AS JSON)) AS UUID))))"
    sqlite = "({0} IN (SELECT replace(value, '-', '') FROM json_each({1})))"


class _Pairs(_Spelled):
    inherit_cache = True
    postgresql, sqlite = "json_array_elements(CAST({0} AS JSON))", "json_each({0})"


class _First(_Spelled):
    inherit_cache = True
    postgresql, sqlite = "({0} ->> 0)", "json_extract({0}, '$[0]')"


class _Second(_Spelled):
    inherit_cache = True
    postgresql, sqlite = "({0} ->> 1)", "json_extract({0}, '$[1]')"


@compiles(_Spelled)
def _spell(element: _Spelled, compiler: SQLCompiler, **options: Any) -> str:
    spelling: str = getattr(element, compiler.dialect.name)
    return spelling.format(*(compiler.process(clause, **options) for clause in element.clauses))
