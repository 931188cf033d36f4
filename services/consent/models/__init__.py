"""The tables of the consent service, by subject. No name, no contact: only codes, pseudonyms, digests and wrapped keys."""

from services.consent.models.base import metadata, plumbing, roster
from services.consent.models.compelled import compelled
from services.consent.models.grants import (
    approved_text,
    consent_request,
    erased_grant,
    grant,
    grant_key,
    request_draft,
    restriction,
    sent_envelope,
    waiting_grant,
)
from services.consent.models.ledger import (
    audit_key,
    key_encryption_key,
    ledger_checkpoint,
    ledger_entry,
    ledger_head,
    ledger_repeat,
    ledger_tile,
    ledger_witness,
)
from services.consent.models.notices import notice, push_place
from services.consent.models.personal_records import approved_words, correction, letter, safe_contact
from services.consent.models.subjects import link, link_code, passkey, pin_lane_use, pin_turn, session, subject

__all__ = [
    "approved_text",
    "approved_words",
    "audit_key",
    "compelled",
    "consent_request",
    "correction",
    "erased_grant",
    "grant",
    "grant_key",
    "key_encryption_key",
    "ledger_checkpoint",
    "ledger_entry",
    "ledger_head",
    "ledger_repeat",
    "ledger_tile",
    "ledger_witness",
    "letter",
    "link",
    "link_code",
    "metadata",
    "notice",
    "passkey",
    "pin_lane_use",
    "pin_turn",
    "plumbing",
    "push_place",
    "request_draft",
    "restriction",
    "roster",
    "safe_contact",
    "sent_envelope",
    "session",
    "subject",
    "waiting_grant",
]
