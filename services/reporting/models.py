"""The tables of reporting: what services declare (live), and routing facts of survivors who agreed to be counted."""

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, SmallInteger, String, Table

from services.common.database.column_types import Code, Instant
from services.common.roster import Roster, define_roster
from services.common.service_tables import define_plumbing

metadata = MetaData()
plumbing = define_plumbing(metadata)
# Reporting knows agencies for their sector only.
roster = Roster(define_roster(metadata))


def _fill_factor(percent: int) -> dict[str, Any]:
    """How full PostgreSQL makes a page: a row that finds room beside itself when it changes needs no new index entry."""
    return {"postgresql_with": {"fillfactor": percent}}


# Tier S: facts about services. The latest statement of each programme stands.
capacity = Table(
    "capacity",
    metadata,
    Column("agency", String(64), primary_key=True),
    Column("program", String(64), primary_key=True),
    Column("need", String(8), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("unit", String(16), nullable=False),
    Column("total", Integer, nullable=False),
    Column("available", Integer, nullable=False),
    Column("as_of", Instant, nullable=False),
)

# Tier D: what survivors who agreed to be counted asked of whom, in codes, and what is known of it. Facts are added and
# sharpened, never taken back, until she withdraws. All below is made from it. It leaves this database only through a
# publication that protects it; no route reads it.
journal = Table(
    "journal",
    metadata,
    Column("statistics", Code(26), primary_key=True),
    Column("quarter", Code(8), primary_key=True),
    Column("need", Code(8), primary_key=True),
    Column("region", Code(32), primary_key=True),
    Column("stage", Code(16), primary_key=True),
    Column("sender", Code(64), primary_key=True),
    Column("recipient", Code(64), primary_key=True),
    Column("reason", Code(32), primary_key=True),
    Column("started_within", SmallInteger, nullable=False),
    Column("answered_within", SmallInteger, nullable=False),
    Column("at_work", SmallInteger, nullable=False),
    **_fill_factor(70),
)

# The one cell in which a survivor counts, for each family of needs in each quarter: what a withdrawal takes out again.
contribution = Table(
    "contribution",
    metadata,
    Column("statistics", Code(26), primary_key=True),
    Column("quarter", Code(8), primary_key=True),
    Column("family", Code(8), primary_key=True),
    Column("result", SmallInteger, nullable=False),
    Column("draw", BigInteger, nullable=False),
    Column("region", Code(32), nullable=False),
    Column("stage", Code(16), nullable=False),
    **_fill_factor(80),
)

# How many contribute to each cell, and the sum of their keys. In two halves: SQLite would turn a sum beyond 63 bits into
# a float, and PostgreSQL refuse it.
cell = Table(
    "cell",
    metadata,
    Column("quarter", Code(8), primary_key=True),
    Column("family", Code(8), primary_key=True),
    Column("region", Code(32), primary_key=True),
    Column("stage", Code(16), primary_key=True),
    Column("result", SmallInteger, primary_key=True),
    Column("persons", BigInteger, nullable=False),
    Column("low", BigInteger, nullable=False),
    Column("high", BigInteger, nullable=False),
    **_fill_factor(50),
)

# A withdrawal can overtake what it withdraws, since topics have no order among each other.
withdrawn = Table("withdrawn", metadata, Column("statistics", Code(26), primary_key=True))

# How often somebody who was in the journal of a quarter withdrew: a draft that was counted before holds her still.
departure = Table(
    "departure",
    metadata,
    Column("quarter", Code(8), primary_key=True),
    Column("times", BigInteger, nullable=False),
)

# How far a rebuild has come: the last row of the journal that it has read, as JSON. No row: none is under way.
rebuilding = Table(
    "rebuilding",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("after", String(512), nullable=False),
    Column("done", BigInteger, nullable=False),
)
