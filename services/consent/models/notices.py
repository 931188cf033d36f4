"""Tables of notices to agencies and of where they are pushed."""

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint, Uuid

from services.common.database.column_types import Codes, Instant
from services.consent.models.base import metadata
from services.consent.models.subjects import subject

# A change of hers makes at most one notice per grant, so grant and epoch identify it. The epoch is the grant's own
# `agency_epoch`. `ppid` is kept until the agency has acknowledged: it must still read there whom to forget after she was
# erased. Then `subject_id` is NULL, and with the acknowledgement the grant goes too.
notice = Table(
    "notice",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), index=True),
    Column("agency", String(64), nullable=False),
    Column("ppid", String(64)),
    Column("grant_id", Uuid),
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

# Where an agency wants its notices pushed, if it does not poll.
push_place = Table(
    "push_place",
    metadata,
    Column("agency", String(64), primary_key=True),
    Column("url", String(512), nullable=False),
)
