"""The tables of publications: what was frozen, who approved it, and what governance bodies decided."""

from sqlalchemy import Column, Integer, LargeBinary, String, Table

from services.common.database.column_types import Instant, Json
from services.reporting.models import metadata

# One row for each publication and draft. `truth` is what the audit of later ones needs: true sizes of groups, and what each
# agency knows of them. It never leaves, and nothing that answers to the web reads it.
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

# How far the protection of a draft has come, so that a build that was interrupted goes on from there; at most one row.
# `begun` is the hash of all that it depends on.
unfinished = Table(
    "unfinished",
    metadata,
    Column("begun", String(64), primary_key=True),
    Column("hidden", Json, nullable=False),
    Column("certain", Json, nullable=False),
)

# Bytes, written once. What is published is these and nothing that could be made anew.
frozen_file = Table(
    "frozen_file",
    metadata,
    Column("publication", String(16), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

# A person's word for one bundle: it does not hold for another.
approval = Table(
    "approval",
    metadata,
    Column("publication", String(16), primary_key=True),
    Column("role", String(32), primary_key=True),
    Column("bundle", String(64), primary_key=True),
    Column("name", String(120), nullable=False),
    Column("at", Instant, nullable=False),
)

# Decisions of the body that governs what a switch is about; the last one stands.
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
