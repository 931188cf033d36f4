"""Outbox is a queue."""

from alembic import op

from services.common.messaging.outbox import make_queue

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Take this step."""
    make_queue(op.get_bind())


def downgrade() -> None:
    """Nothing to take back: the table goes with the step before."""
