"""First tables."""

import sqlalchemy as sa
from alembic import op

from services.common.database.column_types import BigId, Code, Instant, Json
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
        "approval",
        sa.Column("publication", sa.String(length=16), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("bundle", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("publication", "role", "bundle"),
    )
    op.create_table(
        "capacity",
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("program", sa.String(length=64), nullable=False),
        sa.Column("need", sa.String(length=8), nullable=False),
        sa.Column("region", sa.String(length=32), nullable=False),
        sa.Column("unit", sa.String(length=16), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("available", sa.Integer(), nullable=False),
        sa.Column("as_of", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("agency", "program", "need", "region"),
    )
    op.create_table(
        "cell",
        sa.Column("quarter", Code(8), nullable=False),
        sa.Column("family", Code(8), nullable=False),
        sa.Column("region", Code(32), nullable=False),
        sa.Column("stage", Code(16), nullable=False),
        sa.Column("result", sa.SmallInteger(), nullable=False),
        sa.Column("persons", sa.BigInteger(), nullable=False),
        sa.Column("low", sa.BigInteger(), nullable=False),
        sa.Column("high", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("quarter", "family", "region", "stage", "result"),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "contribution",
        sa.Column("statistics", Code(26), nullable=False),
        sa.Column("quarter", Code(8), nullable=False),
        sa.Column("family", Code(8), nullable=False),
        sa.Column("result", sa.SmallInteger(), nullable=False),
        sa.Column("draw", sa.BigInteger(), nullable=False),
        sa.Column("region", Code(32), nullable=False),
        sa.Column("stage", Code(16), nullable=False),
        sa.PrimaryKeyConstraint("statistics", "quarter", "family"),
        postgresql_with={"fillfactor": 80},
    )
    op.create_table(
        "decision",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("switch", sa.String(length=32), nullable=False),
        sa.Column("body", sa.String(length=120), nullable=False),
        sa.Column("word", sa.String(length=16), nullable=False),
        sa.Column("bundle", sa.String(length=64), nullable=True),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_decision_switch"), "decision", ["switch"], unique=False)
    op.create_table(
        "departure",
        sa.Column("quarter", Code(8), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("quarter"),
    )
    op.create_table(
        "frozen_file",
        sa.Column("publication", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("publication", "name"),
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
        "journal",
        sa.Column("statistics", Code(26), nullable=False),
        sa.Column("quarter", Code(8), nullable=False),
        sa.Column("need", Code(8), nullable=False),
        sa.Column("region", Code(32), nullable=False),
        sa.Column("stage", Code(16), nullable=False),
        sa.Column("sender", Code(64), nullable=False),
        sa.Column("recipient", Code(64), nullable=False),
        sa.Column("reason", Code(32), nullable=False),
        sa.Column("started_within", sa.SmallInteger(), nullable=False),
        sa.Column("answered_within", sa.SmallInteger(), nullable=False),
        sa.Column("at_work", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("statistics", "quarter", "need", "region", "stage", "sender", "recipient", "reason"),
        postgresql_with={"fillfactor": 70},
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
        "publication",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("period", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("head", Json, nullable=False),
        sa.Column("bundle", sa.String(length=64), nullable=False),
        sa.Column("verdict", Json, nullable=True),
        sa.Column("truth", Json, nullable=False),
        sa.Column("built_at", Instant(), nullable=False),
        sa.Column("published_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("number"),
    )
    op.create_table(
        "rebuilding",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("after", sa.String(length=512), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "unfinished",
        sa.Column("begun", sa.String(length=64), nullable=False),
        sa.Column("hidden", Json, nullable=False),
        sa.Column("certain", Json, nullable=False),
        sa.PrimaryKeyConstraint("begun"),
    )
    op.create_table(
        "used_once",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index(op.f("ix_used_once_expires_at"), "used_once", ["expires_at"], unique=False)
    op.create_table(
        "withdrawn", sa.Column("statistics", Code(26), nullable=False), sa.PrimaryKeyConstraint("statistics")
    )
    make_queue(op.get_bind())


def downgrade() -> None:
    """Take it back."""
    op.drop_table("withdrawn")
    op.drop_index(op.f("ix_used_once_expires_at"), table_name="used_once")
    op.drop_table("used_once")
    op.drop_table("unfinished")
    op.drop_table("rebuilding")
    op.drop_table("publication")
    op.drop_index(op.f("ix_parked_key"), table_name="parked")
    op.drop_table("parked")
    op.drop_table("outbox")
    op.drop_table("journal")
    op.drop_index(op.f("ix_inbox_seen_at"), table_name="inbox")
    op.drop_table("inbox")
    op.drop_table("frozen_file")
    op.drop_table("departure")
    op.drop_index(op.f("ix_decision_switch"), table_name="decision")
    op.drop_table("decision")
    op.drop_table("contribution")
    op.drop_table("cell")
    op.drop_table("capacity")
    op.drop_table("approval")
    op.drop_table("agency")
