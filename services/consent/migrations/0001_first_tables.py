"""First tables."""

import sqlalchemy as sa
from alembic import op

from services.common.database.column_types import BigId, Codes, Instant, Json
from services.common.messaging.outbox import make_queue
from services.consent.ledger.entries import begin

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
        "audit_key",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("key_encryption_key", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("destroyed_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("subject_id"),
    )
    op.create_table(
        "erased_grant",
        sa.Column("digest", sa.String(length=52), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
        sqlite_with_rowid=False,
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
        "key_encryption_key",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.Column("destroyed_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_table(
        "ledger_checkpoint",
        sa.Column("size", BigId, autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(length=32), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("made_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("size"),
    )
    op.create_table(
        "ledger_entry",
        sa.Column("position", BigId, nullable=False),
        sa.Column("leaf_index", BigId, nullable=True),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.Column("tree_leaf", sa.LargeBinary(), nullable=True),
        sa.Column("act", BigId, nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("run", sa.String(length=43), nullable=True),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_index(op.f("ix_ledger_entry_leaf_index"), "ledger_entry", ["leaf_index"], unique=False)
    op.create_index(op.f("ix_ledger_entry_subject_id"), "ledger_entry", ["subject_id"], unique=False)
    op.create_index(
        "ledger_entry_act",
        "ledger_entry",
        ["act"],
        unique=False,
        postgresql_where=sa.text("act IS NOT NULL"),
        sqlite_where=sa.text("act IS NOT NULL"),
    )
    op.create_index(
        "ledger_entry_run",
        "ledger_entry",
        ["run"],
        unique=False,
        postgresql_where=sa.text("run IS NOT NULL"),
        sqlite_where=sa.text("run IS NOT NULL"),
    )
    op.create_index(
        "ledger_entry_waiting",
        "ledger_entry",
        ["position"],
        unique=False,
        postgresql_where=sa.text("leaf_index IS NULL AND tree_leaf IS NOT NULL"),
        sqlite_where=sa.text("leaf_index IS NULL AND tree_leaf IS NOT NULL"),
    )
    op.create_table(
        "ledger_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("size", BigId, nullable=False),
        sa.Column("edge", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "ledger_repeat",
        sa.Column("position", BigId, autoincrement=False, nullable=False),
        sa.Column("times", BigId, nullable=False),
        sa.Column("last_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
    )
    op.create_table(
        "ledger_tile",
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", BigId, autoincrement=False, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "number"),
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
        "push_place",
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("url", sa.String(length=512), nullable=False),
        sa.PrimaryKeyConstraint("agency"),
    )
    op.create_table(
        "subject",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("age_band", sa.String(length=32), nullable=True),
        sa.Column("advocate", sa.String(length=64), nullable=True),
        sa.Column("claim_digest", sa.LargeBinary(length=32), nullable=True),
        sa.Column("claim_until", Instant(), nullable=True),
        sa.Column("revoke_digest", sa.LargeBinary(length=32), nullable=True),
        sa.Column("passphrase_digest", sa.LargeBinary(length=32), nullable=True),
        sa.Column("pin_hash", sa.Text(), nullable=True),
        sa.Column("statistics_key", sa.LargeBinary(length=32), nullable=True),
        sa.Column("statistics_since", Instant(), nullable=True),
        sa.Column("created_at", Instant(), nullable=True),
        sa.CheckConstraint("state IN ('active', 'paused', 'erased')", name="known_state"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("claim_digest"),
        sa.UniqueConstraint("passphrase_digest"),
        sa.UniqueConstraint("revoke_digest"),
    )
    op.create_index(
        "subject_erased",
        "subject",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state = 'erased'"),
        sqlite_where=sa.text("state = 'erased'"),
    )
    op.create_table(
        "used_once",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index(op.f("ix_used_once_expires_at"), "used_once", ["expires_at"], unique=False)
    op.create_table(
        "compelled",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("content", Json, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("recorded_at", Instant(), nullable=False),
        sa.Column("sealed_until", Instant(), nullable=True),
        sa.Column("unsealed_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_compelled_sealed_until"), "compelled", ["sealed_until"], unique=False)
    op.create_index(op.f("ix_compelled_sha256"), "compelled", ["sha256"], unique=False)
    op.create_index(op.f("ix_compelled_subject_id"), "compelled", ["subject_id"], unique=False)
    op.create_table(
        "consent_grant",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("categories", Codes(), nullable=False),
        sa.Column("valid_from", Instant(), nullable=False),
        sa.Column("valid_until", Instant(), nullable=False),
        sa.Column("notice_version", sa.String(length=32), nullable=False),
        sa.Column("notice_sha256", sa.String(length=64), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("agency_epoch", sa.Integer(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("only_this", sa.Boolean(), nullable=False),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.Column("ended_epoch", sa.Integer(), nullable=True),
        sa.Column("end_reason", sa.String(length=32), nullable=True),
        sa.CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="an_end_has_a_reason"),
        sa.CheckConstraint("valid_from < valid_until", name="ends_after_it_begins"),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_consent_grant_subject_id"), "consent_grant", ["subject_id"], unique=False)
    op.create_index(op.f("ix_consent_grant_valid_until"), "consent_grant", ["valid_until"], unique=False)
    op.create_table(
        "consent_request",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("asked_by", sa.String(length=64), nullable=False),
        sa.Column("choices", Codes(), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=True),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("categories", Codes(), nullable=False),
        sa.Column("asked_at", Instant(), nullable=False),
        sa.Column("open_until", Instant(), nullable=False),
        sa.Column("answered_at", Instant(), nullable=True),
        sa.Column("accepted", sa.Boolean(), nullable=True),
        sa.Column("drafts_digest", sa.LargeBinary(length=32), nullable=True),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_consent_request_subject_id"), "consent_request", ["subject_id"], unique=False)
    op.create_table(
        "ledger_witness",
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("size", BigId, nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["size"],
            ["ledger_checkpoint.size"],
        ),
        sa.PrimaryKeyConstraint("agency"),
    )
    op.create_index(op.f("ix_ledger_witness_size"), "ledger_witness", ["size"], unique=False)
    op.create_table(
        "letter",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=True),
        sa.Column("made_at", Instant(), nullable=False),
        sa.Column("valid_until", Instant(), nullable=False),
        sa.Column("used_at", Instant(), nullable=True),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index(op.f("ix_letter_subject_id"), "letter", ["subject_id"], unique=False)
    op.create_table(
        "link",
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("ppid", sa.String(length=64), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("agency", "ppid"),
        sa.UniqueConstraint("agency", "subject_id"),
    )
    op.create_index(op.f("ix_link_subject_id"), "link", ["subject_id"], unique=False)
    op.create_table(
        "link_code",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index(op.f("ix_link_code_subject_id"), "link_code", ["subject_id"], unique=False)
    op.create_table(
        "passkey",
        sa.Column("id", sa.LargeBinary(length=1023), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.Integer(), nullable=False),
        sa.Column("added_at", Instant(), nullable=False),
        sa.Column("used_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_passkey_subject_id"), "passkey", ["subject_id"], unique=False)
    op.create_table(
        "pin_lane_use",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("used_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("subject_id", "lane"),
    )
    op.create_table(
        "pin_turn",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("tried_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("subject_id"),
    )
    op.create_table(
        "restriction",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=True),
        sa.Column("sector", sa.String(length=32), nullable=True),
        sa.Column("category", sa.String(length=32), nullable=True),
        sa.Column("purpose", sa.String(length=32), nullable=True),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("lifted_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_restriction_subject_id"), "restriction", ["subject_id"], unique=False)
    op.create_table(
        "safe_contact",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("key_encryption_key", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("confirmed_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("subject_id"),
    )
    op.create_table(
        "session",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("began_at", Instant(), nullable=False),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.Column("stepped_up_until", Instant(), nullable=True),
        sa.Column("pin_tries", sa.Integer(), nullable=False),
        sa.Column("known", sa.Boolean(), nullable=False),
        sa.Column("pin_lane", sa.Integer(), nullable=True),
        sa.Column("pin_asked_at", Instant(), nullable=True),
        sa.Column("pin_heard_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index(op.f("ix_session_subject_id"), "session", ["subject_id"], unique=False)
    op.create_table(
        "waiting_grant",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("categories", Codes(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("only_this_of", sa.Uuid(), nullable=True),
        sa.Column("second_look_by", sa.String(length=64), nullable=False),
        sa.Column("asked_at", Instant(), nullable=False),
        sa.Column("open_until", Instant(), nullable=False),
        sa.Column("ended_at", Instant(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_waiting_grant_second_look_by"), "waiting_grant", ["second_look_by"], unique=False)
    op.create_index(op.f("ix_waiting_grant_subject_id"), "waiting_grant", ["subject_id"], unique=False)
    op.create_table(
        "approved_text",
        sa.Column("grant_id", sa.Uuid(), nullable=False),
        sa.Column("category", sa.String(length=32), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["grant_id"],
            ["consent_grant.id"],
        ),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("grant_id", "category"),
    )
    op.create_index(op.f("ix_approved_text_subject_id"), "approved_text", ["subject_id"], unique=False)
    op.create_table(
        "approved_words",
        sa.Column("grant_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["grant_id"],
            ["consent_grant.id"],
        ),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("grant_id"),
    )
    op.create_index(op.f("ix_approved_words_subject_id"), "approved_words", ["subject_id"], unique=False)
    op.create_table(
        "correction",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("grant_id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("category", sa.String(length=32), nullable=False),
        sa.Column("asked_at", Instant(), nullable=False),
        sa.Column("done_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["grant_id"],
            ["consent_grant.id"],
        ),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_correction_agency"), "correction", ["agency"], unique=False)
    op.create_index(op.f("ix_correction_subject_id"), "correction", ["subject_id"], unique=False)
    op.create_table(
        "grant_key",
        sa.Column("grant_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("key_encryption_key", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("destroyed_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["grant_id"],
            ["consent_grant.id"],
        ),
        sa.PrimaryKeyConstraint("grant_id"),
    )
    op.create_index(op.f("ix_grant_key_subject_id"), "grant_key", ["subject_id"], unique=False)
    op.create_table(
        "notice",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("ppid", sa.String(length=64), nullable=True),
        sa.Column("grant_id", sa.Uuid(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("categories", Codes(), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("made_at", Instant(), nullable=False),
        sa.Column("act_by", Instant(), nullable=False),
        sa.Column("acknowledge_by", Instant(), nullable=False),
        sa.Column("told_at", Instant(), nullable=True),
        sa.Column("acknowledged_at", Instant(), nullable=True),
        sa.Column("error", sa.String(length=32), nullable=True),
        sa.Column("attested_at", Instant(), nullable=True),
        sa.Column("attested", sa.String(length=16), nullable=True),
        sa.Column("push_after", Instant(), nullable=False),
        sa.Column("push_tries", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("grant_id", "epoch"),
    )
    op.create_index("ix_notice_agency_acknowledged_at", "notice", ["agency", "acknowledged_at"], unique=False)
    op.create_index(op.f("ix_notice_subject_id"), "notice", ["subject_id"], unique=False)
    op.create_table(
        "request_draft",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("key_encryption_key", sa.Integer(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["consent_request.id"],
        ),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_index(op.f("ix_request_draft_subject_id"), "request_draft", ["subject_id"], unique=False)
    op.create_table(
        "sent_envelope",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("grant_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("sent_at", Instant(), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["grant_id"],
            ["consent_grant.id"],
        ),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["subject.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_sent_envelope_grant_id"), "sent_envelope", ["grant_id"], unique=False)
    op.create_index(op.f("ix_sent_envelope_subject_id"), "sent_envelope", ["subject_id"], unique=False)
    make_queue(op.get_bind())
    begin(op.get_bind())


def downgrade() -> None:
    """Take it back."""
    op.drop_index(op.f("ix_sent_envelope_subject_id"), table_name="sent_envelope")
    op.drop_index(op.f("ix_sent_envelope_grant_id"), table_name="sent_envelope")
    op.drop_table("sent_envelope")
    op.drop_index(op.f("ix_request_draft_subject_id"), table_name="request_draft")
    op.drop_table("request_draft")
    op.drop_index(op.f("ix_notice_subject_id"), table_name="notice")
    op.drop_index("ix_notice_agency_acknowledged_at", table_name="notice")
    op.drop_table("notice")
    op.drop_index(op.f("ix_grant_key_subject_id"), table_name="grant_key")
    op.drop_table("grant_key")
    op.drop_index(op.f("ix_correction_subject_id"), table_name="correction")
    op.drop_index(op.f("ix_correction_agency"), table_name="correction")
    op.drop_table("correction")
    op.drop_index(op.f("ix_approved_words_subject_id"), table_name="approved_words")
    op.drop_table("approved_words")
    op.drop_index(op.f("ix_approved_text_subject_id"), table_name="approved_text")
    op.drop_table("approved_text")
    op.drop_index(op.f("ix_waiting_grant_subject_id"), table_name="waiting_grant")
    op.drop_index(op.f("ix_waiting_grant_second_look_by"), table_name="waiting_grant")
    op.drop_table("waiting_grant")
    op.drop_index(op.f("ix_session_subject_id"), table_name="session")
    op.drop_table("session")
    op.drop_table("safe_contact")
    op.drop_index(op.f("ix_restriction_subject_id"), table_name="restriction")
    op.drop_table("restriction")
    op.drop_table("pin_turn")
    op.drop_table("pin_lane_use")
    op.drop_index(op.f("ix_passkey_subject_id"), table_name="passkey")
    op.drop_table("passkey")
    op.drop_index(op.f("ix_link_code_subject_id"), table_name="link_code")
    op.drop_table("link_code")
    op.drop_index(op.f("ix_link_subject_id"), table_name="link")
    op.drop_table("link")
    op.drop_index(op.f("ix_letter_subject_id"), table_name="letter")
    op.drop_table("letter")
    op.drop_index(op.f("ix_ledger_witness_size"), table_name="ledger_witness")
    op.drop_table("ledger_witness")
    op.drop_index(op.f("ix_consent_request_subject_id"), table_name="consent_request")
    op.drop_table("consent_request")
    op.drop_index(op.f("ix_consent_grant_valid_until"), table_name="consent_grant")
    op.drop_index(op.f("ix_consent_grant_subject_id"), table_name="consent_grant")
    op.drop_table("consent_grant")
    op.drop_index(op.f("ix_compelled_subject_id"), table_name="compelled")
    op.drop_index(op.f("ix_compelled_sha256"), table_name="compelled")
    op.drop_index(op.f("ix_compelled_sealed_until"), table_name="compelled")
    op.drop_table("compelled")
    op.drop_index(op.f("ix_used_once_expires_at"), table_name="used_once")
    op.drop_table("used_once")
    op.drop_index(
        "subject_erased",
        table_name="subject",
        postgresql_where=sa.text("state = 'erased'"),
        sqlite_where=sa.text("state = 'erased'"),
    )
    op.drop_table("subject")
    op.drop_table("push_place")
    op.drop_index(op.f("ix_parked_key"), table_name="parked")
    op.drop_table("parked")
    op.drop_table("outbox")
    op.drop_table("ledger_tile")
    op.drop_table("ledger_repeat")
    op.drop_table("ledger_head")
    op.drop_index(
        "ledger_entry_waiting",
        table_name="ledger_entry",
        postgresql_where=sa.text("leaf_index IS NULL AND tree_leaf IS NOT NULL"),
        sqlite_where=sa.text("leaf_index IS NULL AND tree_leaf IS NOT NULL"),
    )
    op.drop_index(
        "ledger_entry_run",
        table_name="ledger_entry",
        postgresql_where=sa.text("run IS NOT NULL"),
        sqlite_where=sa.text("run IS NOT NULL"),
    )
    op.drop_index(
        "ledger_entry_act",
        table_name="ledger_entry",
        postgresql_where=sa.text("act IS NOT NULL"),
        sqlite_where=sa.text("act IS NOT NULL"),
    )
    op.drop_index(op.f("ix_ledger_entry_subject_id"), table_name="ledger_entry")
    op.drop_index(op.f("ix_ledger_entry_leaf_index"), table_name="ledger_entry")
    op.drop_table("ledger_entry")
    op.drop_table("ledger_checkpoint")
    op.drop_table("key_encryption_key")
    op.drop_index(op.f("ix_inbox_seen_at"), table_name="inbox")
    op.drop_table("inbox")
    op.drop_table("erased_grant")
    op.drop_table("audit_key")
    op.drop_table("agency")
