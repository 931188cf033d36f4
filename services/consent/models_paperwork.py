"""The tables of what agencies are told and must do, of what waits for a second look, and of what a law compelled."""

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint, Uuid

from services.common.database.column_types import Codes, Instant, Json
from services.consent.models import grant, metadata, subject

# One change of hers makes at most one notice for a grant, so grant and epoch name it. `ppid` is kept until the agency has
# acknowledged, and no longer: it must read there whom to forget, also after she was erased.
notice = Table(
    "notice",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    Column("agency", String(64), nullable=False),
    Column("ppid", String(64)),
    Column("grant_id", ForeignKey(grant.c.id), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("categories", Codes(), nullable=False),
    Column("action", String(16), nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("act_by", Instant, nullable=False),
    Column("acknowledge_by", Instant, nullable=False),
    Column("told_at", Instant),
    Column("acknowledged_at", Instant),
    Column("error", String(32)),
    Column("attested_at", Instant),
    Column("attested", String(16)),
    Column("push_after", Instant, nullable=False),
    Column("push_tries", Integer, nullable=False),
    UniqueConstraint("grant_id", "epoch"),
    Index("ix_notice_agency_acknowledged_at", "agency", "acknowledged_at"),
)

# Where an agency wants its notices sent, if it does not like to ask.
push_place = Table(
    "push_place",
    metadata,
    Column("agency", String(64), primary_key=True),
    Column("url", String(512), nullable=False),
)

# Not a grant, and nothing that a decision reads: it becomes one when the agency that she named has looked at it.
waiting_grant = Table(
    "waiting_grant",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    Column("agency", String(64), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("categories", Codes(), nullable=False),
    Column("days", Integer, nullable=False),
    Column("second_look_by", String(64), nullable=False, index=True),
    Column("asked_at", Instant, nullable=False),
    Column("open_until", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("outcome", String(16)),
)

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
