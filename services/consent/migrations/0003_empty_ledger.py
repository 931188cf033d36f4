"""Empty ledger."""

from alembic import op

from services.consent.ledger.entries import begin

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Take this step."""
    begin(op.get_bind())


def downgrade() -> None:
    """Nothing to take back: the table goes with the first step."""
