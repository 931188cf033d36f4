"""Table of disclosures that a law compelled; apart from all that decides or opens."""

from sqlalchemy import Column, ForeignKey, String, Table, Uuid

from services.common.database.column_types import Instant, Json
from services.consent.models.base import metadata
from services.consent.models.subjects import subject

# What an agency did under its own legal duty. Nothing that decides or opens knows this table.
compelled = Table(
    "compelled",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    Column("agency", String(64), nullable=False),
    Column("content", Json, nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("recorded_at", Instant, nullable=False),
    Column("sealed_until", Instant, index=True),
    Column("unsealed_at", Instant),
)
