"""The tables of reporting: facts of services, routing facts of survivors who agreed to be counted, and publications."""

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, SmallInteger, String, Table

from services.common.database.column_types import Code, Instant, Json
from services.common.roster import Roster, define_roster
from services.common.service_tables import define_plumbing

metadata = MetaData()
plumbing = define_plumbing(metadata)
# Reporting knows agencies for their sector only.
roster = Roster(define_roster(metadata))


def _fill_factor(percent: int) -> dict[str, Any]:
    """Return the fill factor of PostgreSQL pages: a changed row that finds space in its page needs no new index entry."""
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

# Tier D: the requests of survivors who agreed to be counted, in codes, and their results. Facts are added and
# sharpened, never taken back, until she withdraws. All tables below are made from this one. It leaves this database
# only through a publication that protects it; no route reads it.
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

# The one cell in which a survivor counts, for each family of needs in each quarter: a withdrawal subtracts it again.
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

# How many contribute to each cell, and the sum of their keys. In two halves: SQLite would turn a sum beyond 63 bits
# into a float, and PostgreSQL refuse it.
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

# A withdrawal can arrive before the events that it withdraws, since topics have no order among each other.
withdrawn = Table("withdrawn", metadata, Column("statistics", Code(26), primary_key=True))

# How often somebody who was in the journal of a quarter withdrew: a draft that was counted before still includes her.
departure = Table(
    "departure",
    metadata,
    Column("quarter", Code(8), primary_key=True),
    Column("times", BigInteger, nullable=False),
)

# How far a rebuild has come: the last journal row that it has read, as JSON. Without a row no rebuild is under way.
rebuilding = Table(
    "rebuilding",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("after", String(512), nullable=False),
    Column("done", BigInteger, nullable=False),
)

# One row for each publication and draft. `truth` is what the audit of later ones needs: true sizes of groups, and what
# each agency knows of them. It never leaves, and no route reads it.
publication = Table(
    "publication",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("period", String(8), nullable=False),
    Column("state", String(16), nullable=False),
    Column("head", Json, nullable=False),
    Column("bundle", String(64), nullable=False),
    Column("verdict", Json),
    Column("truth", Json, nullable=False),
    Column("built_at", Instant, nullable=False),
    Column("published_at", Instant),
)

# How far the protection of a draft has come, so that an interrupted build resumes there; at most one row. `begun` is
# the digest of all that it depends on.
unfinished = Table(
    "unfinished",
    metadata,
    Column("begun", String(64), primary_key=True),
    Column("hidden", Json, nullable=False),
    Column("certain", Json, nullable=False),
)

# Bytes, written once. A publication is these files; none of them is ever made again.
frozen_file = Table(
    "frozen_file",
    metadata,
    Column("publication", String(16), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

# A person's approval of one digest: it does not hold for another.
approval = Table(
    "approval",
    metadata,
    Column("publication", String(16), primary_key=True),
    Column("role", String(32), primary_key=True),
    Column("bundle", String(64), primary_key=True),
    Column("name", String(120), nullable=False),
    Column("at", Instant, nullable=False),
)

# Decisions of the body that governs a switch; the last one stands.
decision = Table(
    "decision",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("switch", String(32), nullable=False, index=True),
    Column("body", String(120), nullable=False),
    Column("word", String(16), nullable=False),
    Column("bundle", String(64)),
    Column("at", Instant, nullable=False),
)
