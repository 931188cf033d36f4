"""Tables of what she wrote or carries: notes, safe contact, letters, requests to correct."""

from sqlalchemy import Column, ForeignKey, Integer, LargeBinary, String, Table, Uuid

from services.common.database.column_types import Instant
from services.consent.models.base import metadata
from services.consent.models.grants import grant
from services.consent.models.subjects import subject

# Her note for one grant, sealed to the grant's key: it ends with the grant.
approved_words = Table(
    "approved_words",
    metadata,
    Column("grant_id", ForeignKey(grant.c.id), primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
)

# How she may be reached, if at all. `sealed` opens only with `wrapped`, and that only with a key outside the database.
safe_contact = Table(
    "safe_contact",
    metadata,
    Column("subject_id", ForeignKey(subject.c.id), primary_key=True),
    Column("key_encryption_key", Integer, nullable=False),
    Column("wrapped", LargeBinary),
    Column("sealed", LargeBinary, nullable=False),
    Column("confirmed_at", Instant, nullable=False),
)

# A letter that says who supports her, and nothing else. It works once.
letter = Table(
    "letter",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    Column("agency", String(64), nullable=False),
    Column("digest", LargeBinary(32), unique=True),
    Column("made_at", Instant, nullable=False),
    Column("valid_until", Instant, nullable=False),
    Column("used_at", Instant),
    Column("ended_at", Instant),
)

# Her request to correct what an agency has under a grant, and when the agency says that it has done so.
correction = Table(
    "correction",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    Column("grant_id", ForeignKey(grant.c.id), nullable=False),
    Column("agency", String(64), nullable=False, index=True),
    Column("category", String(32), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("done_at", Instant),
)
