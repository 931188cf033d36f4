"""Tables of survivors: their rows, links to agencies, sessions, passkeys and PIN attempts."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from services.common.database.column_types import Instant
from services.consent.models.base import metadata

# One row per survivor. Its lock and its `epoch` stand for everything about her. Once she is erased, it holds no time and
# goes a moment later.
subject = Table(
    "subject",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("language", String(2), nullable=False),
    Column("age_band", String(32)),
    Column("advocate", String(64)),
    Column("claim_digest", LargeBinary(32), unique=True),
    Column("claim_until", Instant),
    Column("revoke_digest", LargeBinary(32), unique=True),
    Column("passphrase_digest", LargeBinary(32), unique=True),
    Column("pin_hash", Text),
    Column("statistics_key", LargeBinary(32)),
    Column("statistics_since", Instant),
    Column("created_at", Instant),
    CheckConstraint("state IN ('active', 'paused', 'erased')", name="known_state"),
)
_erased = subject.c.state == "erased"
Index("subject_erased", subject.c.id, postgresql_where=_erased, sqlite_where=_erased)

link = Table(
    "link",
    metadata,
    Column("agency", String(64), primary_key=True),
    Column("ppid", String(64), primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    UniqueConstraint("agency", "subject_id"),
)

link_code = Table(
    "link_code",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    Column("expires_at", Instant, nullable=False),
)

session = Table(
    "session",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    Column("began_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("stepped_up_until", Instant),
    Column("pin_tries", Integer, nullable=False),
    # Opened with a passkey, or her PIN was right in it: somebody who has only her passphrase has no such session.
    Column("known", Boolean, nullable=False),
    # While it waits for a turn to try her PIN: its lane, and when it asked first and last.
    Column("pin_lane", Integer),
    Column("pin_asked_at", Instant),
    Column("pin_heard_at", Instant),
)

# How often her PIN was tried since it was last right, over all sessions.
pin_turn = Table(
    "pin_turn",
    metadata,
    Column("subject_id", ForeignKey(subject.c.id), primary_key=True),
    Column("tries", Integer, nullable=False),
    Column("tried_at", Instant, nullable=False),
)

# When each lane of hers last tried her PIN. A lane is a small number: it tells callers apart and names no address.
pin_lane_use = Table(
    "pin_lane_use",
    metadata,
    Column("subject_id", ForeignKey(subject.c.id), primary_key=True),
    Column("lane", Integer, primary_key=True),
    Column("used_at", Instant, nullable=False),
)

# A passkey: a public key, and the counter that shows whether it was copied (WebAuthn, section 6.1.1).
passkey = Table(
    "passkey",
    metadata,
    Column("id", LargeBinary(1023), primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("sign_count", Integer, nullable=False),
    Column("added_at", Instant, nullable=False),
    Column("used_at", Instant),
)
