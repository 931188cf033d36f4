"""The tables of the consent service. No name, no contact: only codes, pseudonyms, digests and wrapped keys."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from services.common.database.column_types import BigId, Codes, Instant
from services.common.roster import Roster, define_roster
from services.common.service_tables import define_plumbing

metadata = MetaData()

plumbing = define_plumbing(metadata)
roster = Roster(define_roster(metadata))

# One row is the lock and the version of everything about one survivor.
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
    Column("created_at", Instant, nullable=False),
    CheckConstraint("state IN ('active', 'paused', 'erased')", name="known_state"),
)

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
)

# Never edited: a grant is replaced by another or ended. A permit names everything; there is no wildcard to store.
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

# A deny. NULL is a wildcard, and only here.
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

# Her key for the sealed half of her ledger's lines. `wrapped` is NULL once she is erased: nothing is readable any more.
audit_key = Table(
    "audit_key",
    metadata,
    Column("subject_id", Uuid, primary_key=True),
    Column("key_encryption_key", Integer, nullable=False),
    Column("wrapped", LargeBinary),
    Column("destroyed_at", Instant),
)

# When each key-encryption key was first seen, and when its file was destroyed; the keys themselves lie elsewhere.
key_encryption_key = Table(
    "key_encryption_key",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("seen_at", Instant, nullable=False),
    Column("destroyed_at", Instant),
)

# In the order in which acts recorded themselves. `leaf` is public and holds commitments only; `sealed` is for her alone.
# Erasing takes `subject_id` and `sealed` away, never the row. `leaf_index` is NULL until the tree has taken the leaf in.
ledger_entry = Table(
    "ledger_entry",
    metadata,
    Column("position", BigId, primary_key=True),
    Column("leaf_index", BigId, unique=True),
    Column("at", Instant, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("subject_id", Uuid, index=True),
    Column("leaf", LargeBinary, nullable=False),
    Column("sealed", LargeBinary),
)
_waits = ledger_entry.c.leaf_index.is_(None)
Index("ledger_entry_waiting", ledger_entry.c.position, postgresql_where=_waits, sqlite_where=_waits)

# The tree's right edge: whoever holds this row's lock is the one that grows the tree.
ledger_head = Table(
    "ledger_head",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("size", BigId, nullable=False),
    Column("edge", LargeBinary, nullable=False),
)

# The tree's hashes by 256; the last tile of each level grows until it is full.
ledger_tile = Table(
    "ledger_tile",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", BigId, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)

ledger_checkpoint = Table(
    "ledger_checkpoint",
    metadata,
    Column("size", BigId, primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("note", Text, nullable=False),
    Column("made_at", Instant, nullable=False),
)

# What each witness has cosigned last, and with which key.
ledger_witness = Table(
    "ledger_witness",
    metadata,
    Column("agency", String(64), primary_key=True),
    Column("key", Text, nullable=False),
    Column("size", ForeignKey(ledger_checkpoint.c.size), nullable=False, index=True),
    Column("line", Text, nullable=False),
)

# How often her PIN was tried since it was last right, over all sessions.
pin_turn = Table(
    "pin_turn",
    metadata,
    Column("subject_id", ForeignKey(subject.c.id), primary_key=True),
    Column("tries", Integer, nullable=False),
    Column("tried_at", Instant, nullable=False),
)

# Her own words for one grant, sealed to the grant's key: they go when it goes.
approved_words = Table(
    "approved_words",
    metadata,
    Column("grant_id", ForeignKey(grant.c.id), primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
)

# How she may be reached, if at all. `sealed` opens only with `wrapped`, and that only with a key outside of this database.
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

# She says that what an agency has under a grant is not right; the agency says when it has seen to it.
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

# Another way in beside her words: a public key, and the count that would tell of a copy (WebAuthn, section 6.1.1).
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
