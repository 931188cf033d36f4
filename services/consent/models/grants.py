"""Tables of what a survivor allows and forbids: grants, restrictions, consent requests, pending grants."""

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Integer, LargeBinary, String, Table, Uuid

from services.common.database.column_types import Codes, Instant
from services.consent.models.base import metadata
from services.consent.models.subjects import subject

# A grant is never edited: another replaces it, or it ends. It names everything; there is no wildcard to store.
grant = Table(
    "consent_grant",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    Column("agency", String(64), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("categories", Codes(), nullable=False),
    Column("valid_from", Instant, nullable=False),
    Column("valid_until", Instant, nullable=False, index=True),
    Column("notice_version", String(32), nullable=False),
    Column("notice_sha256", String(64), nullable=False),
    Column("language", String(2), nullable=False),
    Column("epoch", Integer, nullable=False),
    # Goes up with each change that concerns this grant: the only number of hers that its agency is told.
    Column("agency_epoch", Integer, nullable=False),
    Column("public_key", LargeBinary(32), nullable=False),
    Column("ended_at", Instant),
    Column("ended_epoch", Integer),
    Column("end_reason", String(32)),
    CheckConstraint("valid_from < valid_until", name="ends_after_it_begins"),
    CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="an_end_has_a_reason"),
)

# Apart from the grant, so that reading grants never touches a key. `wrapped` is NULL once the key is destroyed.
grant_key = Table(
    "grant_key",
    metadata,
    Column("grant_id", ForeignKey(grant.c.id), primary_key=True),
    Column("subject_id", Uuid, nullable=False, index=True),
    Column("key_encryption_key", Integer, nullable=False),
    Column("wrapped", LargeBinary),
    Column("destroyed_at", Instant),
)

# Grants of erased survivors, as keyed digests: an old envelope under one is refused as under any grant that has ended. The
# rows tell neither whose grants they were nor which belong together.
erased_grant = Table(
    "erased_grant",
    metadata,
    Column("digest", String(52), primary_key=True),
    # Numbered rows would lie in the order of erasures, and so side by side.
    sqlite_with_rowid=False,
)

# A deny. NULL matches everything, in this table only.
restriction = Table(
    "restriction",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    Column("agency", String(64)),
    Column("sector", String(32)),
    Column("category", String(32)),
    Column("purpose", String(32)),
    Column("reason", String(32)),
    Column("created_at", Instant, nullable=False),
    Column("lifted_at", Instant),
)

consent_request = Table(
    "consent_request",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    Column("asked_by", String(64), nullable=False),
    Column("agency", String(64), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("categories", Codes(), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("open_until", Instant, nullable=False),
    Column("answered_at", Instant),
    Column("accepted", Boolean),
)

# Not a grant, and read by no decision: it becomes one when the agency that she named has agreed in its second look.
waiting_grant = Table(
    "waiting_grant",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    Column("agency", String(64), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("categories", Codes(), nullable=False),
    Column("days", Integer, nullable=False),
    Column("second_look_by", String(64), nullable=False, index=True),
    Column("asked_at", Instant, nullable=False),
    Column("open_until", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("outcome", String(16)),
)
