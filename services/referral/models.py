"""The tables of the referral service: routing facts and sealed envelopes, nothing that names or describes a person."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

from services.common.database.column_types import BigId, Instant
from services.common.roster import Roster, define_roster
from services.common.service_tables import define_plumbing

metadata = MetaData()
plumbing = define_plumbing(metadata)
roster = Roster(define_roster(metadata))

referral = Table(
    "referral",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("sender", String(64), nullable=False),
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
    # The state that a hold came from, the wait last stated, and how it ended; both sides see them.
    Column("before_hold", String(16)),
    Column("wait", String(16)),
    Column("outcome", String(16)),
    # Since when the running promise runs, and when it is told next to be late; NULL if none runs.
    Column("promise_since", Instant),
    Column("due_at", Instant),
    # How often each promise was told to be late: the answer and the start once and for all, other word since it is due.
    Column("told_answer", Integer, nullable=False, server_default="0"),
    Column("told_start", Integer, nullable=False, server_default="0"),
    Column("told_word", Integer, nullable=False, server_default="0"),
    # Its place in the list of each side, in the order of commit; NULL until the transaction that adds it is about to commit.
    Column("sender_place", BigId),
    Column("recipient_place", BigId),
    Index("referral_due", "due_at"),
    Index("referral_sent", "sender", "sender_place"),
    Index("referral_sent_state", "sender", "state", "sender_place"),
    Index("referral_received", "recipient", "recipient_place"),
    Index("referral_received_state", "recipient", "state", "recipient_place"),
)

# Apart from the referral, so that a withdrawn one can lose its envelope and keep its history.
envelope = Table(
    "envelope",
    metadata,
    Column("referral_id", ForeignKey(referral.c.id), primary_key=True),
    Column("sealed", Text, nullable=False),
    # Those of the referral, so that a page of an inbox costs the same however many referrals have ended.
    Column("recipient", String(64), nullable=False),
    Column("place", BigId),
    Index("envelope_inbox", "recipient", "place"),
)

step = Table(
    "step",
    metadata,
    Column("referral_id", ForeignKey(referral.c.id), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("reason", String(32)),
    # The wait stated with it: a side for which the referral stands still goes on seeing the one of then.
    Column("wait", String(16)),
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
    Column("agency", String(64), primary_key=True, index=True),
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
    Column("unit", String(16), primary_key=True),
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
    # When its opener closed it; NULL while it may be answered, and if only its time has passed.
    Column("closed_at", Instant),
)

offer_region = Table(
    "offer_region",
    metadata,
    Column("offer_id", ForeignKey(offer.c.id), primary_key=True),
    Column("region", String(32), primary_key=True),
)

# Who got an offer, fixed when it opened: to anybody else it does not exist, whatever they declare later.
offer_asked = Table(
    "offer_asked",
    metadata,
    Column("offer_id", ForeignKey(offer.c.id), primary_key=True),
    Column("agency", String(64), primary_key=True, index=True),
)

offer_claim = Table(
    "offer_claim",
    metadata,
    Column("offer_id", ForeignKey(offer.c.id), primary_key=True),
    Column("agency", String(64), primary_key=True, index=True),
    Column("program", String(64)),
    Column("wait", String(16)),
    Column("claimed_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
)

offer_decline = Table(
    "offer_decline",
    metadata,
    Column("offer_id", ForeignKey(offer.c.id), primary_key=True),
    Column("agency", String(64), primary_key=True),
    Column("reason", String(32), nullable=False),
    Column("declined_at", Instant, nullable=False),
)

# How far an agency's feed and its lists are numbered. The row is locked until the commit, so that a number becomes visible
# only after every smaller one.
agency_counter = Table(
    "agency_counter",
    metadata,
    Column("agency", String(64), primary_key=True),
    Column("feed", BigId, nullable=False),
    Column("listed", BigId, nullable=False),
)

# What changed for an agency: ids and states, never content.
feed_entry = Table(
    "feed_entry",
    metadata,
    Column("agency", String(64), primary_key=True),
    Column("number", BigId, primary_key=True, autoincrement=False),
    Column("type", String(64), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("state", String(32)),
    Column("at", Instant, nullable=False),
)

# Where an agency is told that its feed has grown. `sent` is the last number that was tried once; those that failed are in
# `webhook_failure`. The secrets are encrypted by a key outside of the database.
webhook = Table(
    "webhook",
    metadata,
    Column("agency", String(64), primary_key=True),
    Column("url", String(512), nullable=False),
    Column("signing", String(8), nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("previous_signing", String(8)),
    Column("previous_secret", LargeBinary),
    Column("previous_until", Instant),
    Column("sent", BigId, nullable=False),
    Column("not_before", Instant),
    Column("failing_since", Instant),
    Column("failures", Integer, nullable=False),
    Column("disabled_at", Instant),
    Column("disabled_because", String(16)),
)

webhook_failure = Table(
    "webhook_failure",
    metadata,
    Column("agency", String(64), primary_key=True),
    Column("number", BigId, primary_key=True, autoincrement=False),
    Column("tries", Integer, nullable=False),
    Column("answer", String(16), nullable=False),
    Column("failed_at", Instant, nullable=False),
    # NULL once it is not tried again by itself.
    Column("next_try", Instant),
)
