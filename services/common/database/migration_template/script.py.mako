"""${message[:1].upper() + message[1:]}."""

import sqlalchemy as sa
from alembic import op

from services.common.database.column_types import BigId, Code, Codes, Instant, Json
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Take this step."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Take it back."""
    ${downgrades if downgrades else "pass"}
