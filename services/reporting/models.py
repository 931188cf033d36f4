"""The tables of reporting: what services declare (live), and routing facts of survivors who agreed to be counted."""

from sqlalchemy import Column, Date, Integer, MetaData, String, Table

from services.common.database import Instant
from services.common.plumbing import define_plumbing

metadata = MetaData()
plumbing = define_plumbing(metadata)

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

# Tier D: one row for each referral of a survivor who agreed to be counted. It leaves this database only through a
# publication that protects it; no route reads it.
counted_referral = Table(
    "counted_referral",
    metadata,
    Column("referral", String(36), primary_key=True),
    Column("statistics", String(26), nullable=False, index=True),
    Column("sender", String(64), nullable=False),
    Column("recipient", String(64), nullable=False),
    Column("need", String(8), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("region", String(32), nullable=False),
    Column("quarter", String(8), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(32)),
    Column("waited", String(16)),
    Column("requested_on", Date, nullable=False),
)

counted_need = Table(
    "counted_need",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("statistics", String(26), nullable=False, index=True),
    Column("agency", String(64), nullable=False),
    Column("need", String(8), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("region", String(32), nullable=False),
    Column("quarter", String(8), nullable=False),
)

# A withdrawal can overtake what it withdraws, since topics have no order among each other.
withdrawn = Table("withdrawn", metadata, Column("statistics", String(26), primary_key=True))
