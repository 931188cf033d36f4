"""Lists as one parameter, on SQLite and on PostgreSQL."""

import re
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, Select, String, Table, Uuid, delete, select

from services.common.database.column_types import BigId, Code
from services.common.database.engine import Database
from services.common.database.list_parameters import listed, one_of, rows_like

metadata = MetaData()
thing = Table(
    "listed_thing",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("other", String(64), primary_key=True),
    Column("number", BigId, unique=True),
    Column("uuid", Uuid, unique=True),
    Column("code", Code(64), index=True),
)
# Texts with separators that would split a list if it were not JSON.
ODD = [
    "plain",
    "",
    " ",
    "a,b",
    "{a}",
    '"a"',
    "a'b",
    "back\\slash",
    "\\u0041",
    "[1]",
    "é😀",
    "NULL",
    "null",
    "line\nbreak",
]
IDS = [uuid4() for _ in ODD]
NAMES, NUMBERS, UUIDS, CODES, PAIRS = (
    select(thing.c.name).where(one_of(thing.c.name, "these")),
    select(thing.c.name).where(one_of(thing.c.number, "these")),
    select(thing.c.name).where(one_of(thing.c.uuid, "these")),
    select(thing.c.name).where(one_of(thing.c.code, "these")),
    rows_like([thing.c.name, thing.c.other], "these"),
)
each_time_anew = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def things(database: Database) -> None:
    metadata.create_all(database.engine)
    rows = [
        {"name": name, "other": ODD[-1 - place], "number": 2**40 + place, "uuid": IDS[place], "code": name}
        for place, name in enumerate(ODD)
    ]
    with database.transaction() as connection:
        connection.execute(delete(thing))
        connection.execute(thing.insert(), rows)


@each_time_anew
@given(asked=st.sets(st.sampled_from([*ODD, "nobody", "%", "_", "A"])))
def test_exactly_the_listed_texts_are_found(database: Database, asked: set[str]) -> None:
    with database.reading() as connection:
        for query in (NAMES, CODES):
            assert set(connection.scalars(query, {"these": listed(asked)})) == asked & set(ODD)


@each_time_anew
@given(places=st.sets(st.integers(0, len(ODD) - 1)), stranger=st.uuids())
def test_exactly_the_listed_numbers_and_uuids_are_found(database: Database, places: set[int], stranger: UUID) -> None:
    expected = {ODD[place] for place in places}
    with database.reading() as connection:
        numbers = listed([*(2**40 + place for place in places), 0, -1, 2**62])
        assert set(connection.scalars(NUMBERS, {"these": numbers})) == expected
        uuids = listed([*(IDS[place] for place in places), stranger])
        assert set(connection.scalars(UUIDS, {"these": uuids})) == expected


@each_time_anew
@given(pairs=st.sets(st.tuples(st.sampled_from(ODD), st.sampled_from(ODD))))
def test_exactly_the_listed_pairs_are_found(database: Database, pairs: set[tuple[str, str]]) -> None:
    """No row is found that combines the members of two pairs."""
    there = set(zip(ODD, reversed(ODD), strict=True))
    with database.reading() as connection:
        found = [(row.name, row.other) for row in connection.execute(PAIRS, {"these": listed(pairs)})]
    assert sorted(found) == sorted(pairs & there)


def test_exactly_what_is_listed_is_deleted(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(delete(thing).where(one_of(thing.c.number, "these")), {"these": listed([2**40, 2**40 + 2])})
        assert set(connection.scalars(select(thing.c.name))) == {*ODD} - {ODD[0], ODD[2]}


@pytest.mark.parametrize("query", [NAMES, NUMBERS, UUIDS, CODES, PAIRS], ids=["text", "number", "uuid", "code", "pair"])
def test_listed_values_are_looked_up_by_index(database_url: str, database: Database, query: Select[Any]) -> None:
    """This also holds for a table that is small or has no statistics yet: PostgreSQL would keep that plan later."""
    asked = query.params(these=listed([1] if query is NUMBERS else [[str(IDS[0])] * 2] if query is PAIRS else IDS[:1]))
    with closing(Database(database_url, by_key=True)) as by_key, by_key.reading() as connection:
        written = asked.compile(connection, compile_kwargs={"literal_binds": True})
        explain = "EXPLAIN" if database.is_postgresql else "EXPLAIN QUERY PLAN"
        with by_key.engine.connect() as other:
            plan = "\n".join(str(line) for line in other.exec_driver_sql(f"{explain} {written}"))
    assert "listed_thing" in plan
    assert not re.search(r"(Seq Scan on|SCAN) listed_thing", plan), plan
