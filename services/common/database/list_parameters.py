"""Lists as one parameter: a statement is put together once, and its text stays the same however many values it is given.

A statement that grows with its values is planned anew for each number of them, and putting it together takes longer than
PostgreSQL needs to answer it. Written as JSON, a list is one text that both databases take apart themselves.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import to_json
from sqlalchemy import BigInteger, ColumnElement, Select, Text, Uuid, and_, bindparam, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


def listed(values: Iterable[object]) -> str:
    """Values, or pairs of them, as the parameter of a statement.

    For SQLite a text ends at a NUL, and PostgreSQL refuses it: go by what was found, not by what was asked.
    """
    return to_json(list(values)).decode()


def one_of(column: ColumnElement[Any], parameter: str) -> ColumnElement[bool]:
    """Whether a column of texts, large numbers or UUIDs holds one of the values that a parameter lists."""
    kinds = {Uuid: _OneOfUuids, BigInteger: _OneOfNumbers}
    kind = next((kind for of, kind in kinds.items() if isinstance(column.type, of)), _OneOfTexts)
    found: ColumnElement[bool] = kind(column, bindparam(parameter, type_=Text))
    return found


def rows_like(columns: Sequence[ColumnElement[Any]], parameter: str) -> Select[Any]:
    """The rows of a table in which two columns of texts are as in one of the pairs that a parameter lists, each pair once."""
    [table] = {column.table for column in columns}
    pair = _Pairs(bindparam(parameter, type_=Text)).table_valued("value")
    same = [column == part(pair.c.value) for column, part in zip(columns, (_First, _Second), strict=True)]
    return select(table).join(pair, and_(*same))


class _Spelled(FunctionElement[Any]):
    """Something that each database spells in its own way; `{0}` is the first thing it is made of."""

    inherit_cache = True
    postgresql = sqlite = ""


class _OneOfTexts(_Spelled):
    # As an array: to join a list to a table, PostgreSQL may read all of a table that has grown since it last counted it.
    inherit_cache = True
    postgresql = "({0} = ANY (ARRAY(SELECT json_array_elements_text(CAST({1} AS JSON)))))"
    sqlite = "({0} IN (SELECT value FROM json_each({1})))"


class _OneOfNumbers(_OneOfTexts):
    inherit_cache = True
    postgresql = "({0} = ANY (ARRAY(SELECT CAST(json_array_elements_text(CAST({1} AS JSON)) AS BIGINT))))"


class _OneOfUuids(_OneOfTexts):
    # SQLite keeps UUIDs as texts without dashes.
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
