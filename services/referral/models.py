"""The tables of the referral service: routing facts and sealed envelopes, nothing that names or describes a person."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, MetaData, String, Table, Text

from services.common.database.column_types import Instant
from services.common.roster import Roster, define_roster
from services.common.service_tables import define_plumbing

metadata = MetaData()
plumbing = define_plumbing(metadata)
roster = Roster(define_roster(metadata))

referral = Table(
    "referral",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("sender", String(64), nullable=False, index=True),
    Column("recipient", String(64), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("need", String(8), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("region", String(32), nullable=False),
    Column("urgency", String(8), nullable=False),
    # Her grant; once she is erased, this referral's own id, which joins it to nothing.
    Column("grant_id", String(36), nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("statistics", String(26), index=True),
    Column("requested_at", Instant, nullable=False),
    Column("answer_by", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("opened_at", Instant),
    Index("referral_inbox", "recipient", "id"),
)

# Apart from the referral, so that a withdrawn one can lose its envelope and keep its history.
envelope = Table(
    "envelope",
    metadata,
    Column("referral_id", ForeignKey(referral.c.id), primary_key=True),
    Column("sealed", Text, nullable=False),
)

step = Table(
    "step",
    metadata,
    Column("referral_id", ForeignKey(referral.c.id), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("reason", String(32)),
    Column("at", Instant, nullable=False),
)

# A grant can end before a referral made under it arrives, since topics have no order among each other. Both handlers
# lock this row, so that neither misses the other. `erased` if it ended because she was erased: then the row goes once no
# referral under it can still arrive.
grant_seen = Table(
    "grant_seen",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("ended_at", Instant),
    Column("erased", Boolean, nullable=False),
)

# For whom the referrals under a grant stand still, since when. A row may come before the referrals it is about.
standstill = Table(
    "standstill",
    metadata,
    Column("grant_id", String(36), primary_key=True),
    Column("agency", String(64), primary_key=True),
    Column("since", Instant, nullable=False),
)

# Which agency offers which service where: these agencies are asked when an offer opens.
offered_service = Table(
    "offered_service",
    metadata,
    Column("agency", String(64), primary_key=True),
    Column("program", String(64), primary_key=True),
    Column("need", String(8), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("available", Integer, nullable=False),
    Column("as_of", Instant, nullable=False),
)

offer = Table(
    "offer",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("opened_by", String(64), nullable=False, index=True),
    Column("need", String(8), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("region", String(32), nullable=False),
    Column("urgency", String(8), nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("answer_by", Instant, nullable=False),
    Column("claimed_by", String(64)),
    Column("claimed_at", Instant),
)
