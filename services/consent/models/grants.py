"""Tables of what a survivor allows and forbids: grants, restrictions, consent requests, pending grants."""

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Integer, LargeBinary, String, Table, Text, Uuid

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
    # Whether only the texts that she read may be sealed under it (`approved_text`), or any text of its categories.
    Column("only_this", Boolean, nullable=False),
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

# The digest of each text that she read and allowed under a grant, keyed by the grant's private key: it ends with that key,
# and afterwards no guess can be tested against it.
approved_text = Table(
    "approved_text",
    metadata,
    Column("grant_id", ForeignKey(grant.c.id), primary_key=True),
    Column("category", String(32), primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    Column("digest", LargeBinary(32), nullable=False),
)

# The envelope of each referral under a live grant, as it went to its recipient. It opens with the grant's key only. The rows
# have ids of their own: no column of theirs stands in another service's tables but the grant.
sent_envelope = Table(
    "sent_envelope",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("grant_id", ForeignKey(grant.c.id), nullable=False, index=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    Column("sender", String(64), nullable=False),
    Column("sent_at", Instant, nullable=False),
    Column("envelope", Text, nullable=False),
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
    # The agencies among which she may choose one; often there is only one.
    Column("choices", Codes(), nullable=False),
    # The one that it is about: NULL where several may be chosen and she has not said yes.
    Column("agency", String(64)),
    Column("purpose", String(32), nullable=False),
    Column("categories", Codes(), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("open_until", Instant, nullable=False),
    Column("answered_at", Instant),
    Column("accepted", Boolean),
    # Of the drafts that came with it, keyed with her ledger key: tells whether another request brings the same ones.
    Column("drafts_digest", LargeBinary(32)),
)

# The drafts of a request, sealed under a key of their own. The row goes with her answer, or when the request is over.
request_draft = Table(
    "request_draft",
    metadata,
    Column("request_id", ForeignKey(consent_request.c.id), primary_key=True),
    Column("subject_id", ForeignKey(subject.c.id), nullable=False, index=True),
    Column("key_encryption_key", Integer, nullable=False),
    Column("wrapped", LargeBinary),
    Column("sealed", LargeBinary, nullable=False),
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
    # The request whose drafts it holds her to word for word; NULL where it allows any text of its categories.
    Column("only_this_of", Uuid),
    Column("second_look_by", String(64), nullable=False, index=True),
    Column("asked_at", Instant, nullable=False),
    Column("open_until", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("outcome", String(16)),
)
