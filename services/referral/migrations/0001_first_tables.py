"""First tables."""

import sqlalchemy as sa
from alembic import op

from services.common.database.column_types import BigId, Instant
from services.common.messaging.outbox import make_queue

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Take this step."""
    op.create_table(
        "agency",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("sector", sa.String(length=32), nullable=False),
        sa.Column("standing", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "grant_seen",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.Column("erased", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "inbox",
        sa.Column("source", sa.String(length=128), nullable=False),
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("source", "id"),
    )
    op.create_index(op.f("ix_inbox_seen_at"), "inbox", ["seen_at"], unique=False)
    op.create_table(
        "offer",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("opened_by", sa.String(length=64), nullable=False),
        sa.Column("need", sa.String(length=8), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("urgency", sa.String(length=8), nullable=False),
        sa.Column("opened_at", Instant(), nullable=False),
        sa.Column("answer_by", Instant(), nullable=False),
        sa.Column("closed_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_offer_opened_by"), "offer", ["opened_by"], unique=False)
    op.create_table(
        "offered_service",
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("program", sa.String(length=64), nullable=False),
        sa.Column("need", sa.String(length=8), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("unit", sa.String(length=16), nullable=False),
        sa.Column("available", sa.Integer(), nullable=False),
        sa.Column("as_of", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("agency", "program", "need", "region", "unit"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("aggregatetype", sa.String(length=64), nullable=False),
        sa.Column("aggregateid", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "parked",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("topic", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", BigId, nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("parked_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("topic", "partition", "offset"),
    )
    op.create_index(op.f("ix_parked_key"), "parked", ["key"], unique=False)
    op.create_table(
        "referral",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("need", sa.String(length=8), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("urgency", sa.String(length=8), nullable=False),
        sa.Column("grant_id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("statistics", sa.String(length=26), nullable=True),
        sa.Column("requested_at", Instant(), nullable=False),
        sa.Column("answer_by", Instant(), nullable=False),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.Column("opened_at", Instant(), nullable=True),
        sa.Column("before_hold", sa.String(length=16), nullable=True),
        sa.Column("wait", sa.String(length=16), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("promise_since", Instant(), nullable=True),
        sa.Column("due_at", Instant(), nullable=True),
        sa.Column("told_answer", sa.Integer(), server_default="0", nullable=False),
        sa.Column("told_start", sa.Integer(), server_default="0", nullable=False),
        sa.Column("told_word", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sender_place", BigId, nullable=True),
        sa.Column("recipient_place", BigId, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("referral_due", "referral", ["due_at"], unique=False)
    op.create_index(op.f("ix_referral_grant_id"), "referral", ["grant_id"], unique=False)
    op.create_index(op.f("ix_referral_statistics"), "referral", ["statistics"], unique=False)
    for side, agency in (("sent", "sender"), ("received", "recipient")):
        op.create_index(f"referral_{side}", "referral", [agency, f"{agency}_place"], unique=False)
        op.create_index(f"referral_{side}_state", "referral", [agency, "state", f"{agency}_place"], unique=False)
    op.create_table(
        "standstill",
        sa.Column("grant_id", sa.String(length=36), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("since", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("grant_id", "agency"),
    )
    op.create_index(op.f("ix_standstill_agency"), "standstill", ["agency"], unique=False)
    op.create_table(
        "used_once",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index(op.f("ix_used_once_expires_at"), "used_once", ["expires_at"], unique=False)
    op.create_table(
        "envelope",
        sa.Column("referral_id", sa.String(length=36), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("place", BigId, nullable=True),
        sa.ForeignKeyConstraint(
            ["referral_id"],
            ["referral.id"],
        ),
        sa.PrimaryKeyConstraint("referral_id"),
    )
    op.create_index("envelope_inbox", "envelope", ["recipient", "place"], unique=False)
    op.create_table(
        "step",
        sa.Column("referral_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("wait", sa.String(length=16), nullable=True),
        sa.Column("at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["referral_id"],
            ["referral.id"],
        ),
        sa.PrimaryKeyConstraint("referral_id", "number"),
    )
    _answer_offers()
    _tell_agencies()
    make_queue(op.get_bind())


def _answer_offers() -> None:
    op.create_table(
        "offer_region",
        sa.Column("offer_id", sa.String(length=36), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["offer_id"], ["offer.id"]),
        sa.PrimaryKeyConstraint("offer_id", "region"),
    )
    op.create_table(
        "offer_asked",
        sa.Column("offer_id", sa.String(length=36), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["offer_id"], ["offer.id"]),
        sa.PrimaryKeyConstraint("offer_id", "agency"),
    )
    op.create_index(op.f("ix_offer_asked_agency"), "offer_asked", ["agency"], unique=False)
    op.create_table(
        "offer_claim",
        sa.Column("offer_id", sa.String(length=36), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("program", sa.String(length=64), nullable=True),
        sa.Column("wait", sa.String(length=16), nullable=True),
        sa.Column("claimed_at", Instant(), nullable=False),
        sa.Column("ends_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["offer_id"], ["offer.id"]),
        sa.PrimaryKeyConstraint("offer_id", "agency"),
    )
    op.create_index(op.f("ix_offer_claim_agency"), "offer_claim", ["agency"], unique=False)
    op.create_table(
        "offer_decline",
        sa.Column("offer_id", sa.String(length=36), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("declined_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["offer_id"], ["offer.id"]),
        sa.PrimaryKeyConstraint("offer_id", "agency"),
    )


def _tell_agencies() -> None:
    op.create_table(
        "agency_counter",
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("feed", BigId, nullable=False),
        sa.Column("listed", BigId, nullable=False),
        sa.PrimaryKeyConstraint("agency"),
    )
    op.create_table(
        "feed_entry",
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("number", BigId, autoincrement=False, nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=True),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("agency", "number"),
    )
    op.create_table(
        "webhook",
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("url", sa.String(length=512), nullable=False),
        sa.Column("signing", sa.String(length=8), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("previous_signing", sa.String(length=8), nullable=True),
        sa.Column("previous_secret", sa.LargeBinary(), nullable=True),
        sa.Column("previous_until", Instant(), nullable=True),
        sa.Column("sent", BigId, nullable=False),
        sa.Column("not_before", Instant(), nullable=True),
        sa.Column("failing_since", Instant(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("disabled_at", Instant(), nullable=True),
        sa.Column("disabled_because", sa.String(length=16), nullable=True),
        sa.PrimaryKeyConstraint("agency"),
    )
    op.create_table(
        "webhook_failure",
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("number", BigId, autoincrement=False, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("answer", sa.String(length=16), nullable=False),
        sa.Column("failed_at", Instant(), nullable=False),
        sa.Column("next_try", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("agency", "number"),
    )


def downgrade() -> None:
    """Take it back."""
    for name in ("webhook_failure", "webhook", "feed_entry", "agency_counter"):
        op.drop_table(name)
    op.drop_table("offer_decline")
    for name in ("offer_claim", "offer_asked"):
        op.drop_index(op.f(f"ix_{name}_agency"), table_name=name)
        op.drop_table(name)
    op.drop_table("offer_region")
    op.drop_table("step")
    op.drop_index(op.f("ix_standstill_agency"), table_name="standstill")
    op.drop_table("standstill")
    op.drop_index("envelope_inbox", table_name="envelope")
    op.drop_table("envelope")
    op.drop_index(op.f("ix_used_once_expires_at"), table_name="used_once")
    op.drop_table("used_once")
    for side in ("sent", "received"):
        op.drop_index(f"referral_{side}_state", table_name="referral")
        op.drop_index(f"referral_{side}", table_name="referral")
    op.drop_index(op.f("ix_referral_statistics"), table_name="referral")
    op.drop_index("referral_due", table_name="referral")
    op.drop_index(op.f("ix_referral_grant_id"), table_name="referral")
    op.drop_table("referral")
    op.drop_index(op.f("ix_parked_key"), table_name="parked")
    op.drop_table("parked")
    op.drop_table("outbox")
    op.drop_table("offered_service")
    op.drop_index(op.f("ix_offer_opened_by"), table_name="offer")
    op.drop_table("offer")
    op.drop_index(op.f("ix_inbox_seen_at"), table_name="inbox")
    op.drop_table("inbox")
    op.drop_table("grant_seen")
    op.drop_table("agency")
