"""Outbox is vacuumed by count."""

from alembic import op

from services.common.outbox import vacuum_by_count

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Take this step."""
    vacuum_by_count(op.get_bind())


def downgrade() -> None:
    """Nothing to take back: the table goes with the step before."""
