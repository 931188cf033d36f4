"""Makes receipts of what she allowed and took back: shaped after ISO/IEC TS 27560, signed, proven to be in the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import schemas
from services.common.errors import not_found
from services.consent.context import Context
from services.consent.handlers.ledger.publish import prove
from services.consent.ledger import entries as ledger
from services.consent.ledger.commitments import shown
from services.consent.ledger.entries import RecordedEntry
from services.consent.store import permissions

SCHEMA = "ISO/IEC TS 27560:2023"
_ALL = 100_000
STATES = {"grant.given": "consent_given", "grant.ended": "consent_withdrawn"}
JURISDICTION = "CA"


@dataclass(frozen=True, slots=True)
class Receipt:
    """One receipt: the facts as people read them, signed, and with a proof; None until the tree contains the entry."""

    facts: Mapping[str, Any]
    signed: str
    proof: str | None

    def as_json(self) -> dict[str, Any]:
        """Return the receipt as she keeps it; the ledger's public key is enough to verify it."""
        return {"receipt": dict(self.facts), "jws": self.signed, "proof": self.proof}


def receipts_of(context: Context, subject: UUID, grant: UUID) -> list[Receipt]:
    """Return the receipts of one of her grants, for its start and, if it has ended, for its end; raise 404."""
    with context.database.reading() as connection:
        row = permissions.get_grant(connection, grant)
        if row is None or row.subject_id != subject:
            raise not_found()
        agency = context.roster.find(connection, [row.agency]).get(row.agency)
        entries = _entries_of(ledger.about(connection, subject, None, _ALL, list(STATES)), grant)
        proofs = prove(connection, entries)
    name = agency.name if agency else row.agency
    made = [_facts(context, row, name, entry) for entry in entries]
    return [
        Receipt(facts, context.ledger_key.receipt(facts), str(proof) if proof else None)
        for facts, proof in zip(made, proofs, strict=True)
    ]


def _entries_of(entries: Sequence[RecordedEntry], grant: UUID) -> list[RecordedEntry]:
    return [entry for entry in reversed(entries) if entry.detail.get("grant") == str(grant)]


def _facts(context: Context, grant: Any, agency: str, entry: RecordedEntry) -> dict[str, Any]:
    """Return the record in the sections of TS 27560: header, processing, parties, events; and the content of the leaf."""
    return {
        "schema_version": SCHEMA,
        "record_id": f"urn:uuid:{grant.id}",
        "receipt_id": f"{context.ledger_key.origin}/{entry.position}",
        # Only this grant stands for her: a receipt that is found names nobody.
        "pii_principal_id": f"urn:uuid:{grant.id}",
        "pii_processing": _processing(context, grant),
        "party_identification": [
            {"party_id": context.ledger_key.origin, "party_role": "pii_controller", "party_type": "hub"},
            {"party_id": grant.agency, "party_name": agency, "party_role": "recipient", "party_type": "agency"},
        ],
        "events": [_event(grant, entry)],
        "ledger": shown(entry.record, entry.salt),
    }


def _processing(context: Context, grant: Any) -> dict[str, Any]:
    language = grant.language
    return {
        "privacy_notice": {"version": grant.notice_version, "sha256": grant.notice_sha256},
        "language": language,
        "purposes": [
            {"purpose": grant.purpose, "label": schemas.label("purposes", grant.purpose, language, grant.purpose)}
        ],
        "lawful_basis": "consent",
        "pii_information": [
            {"pii_type": category, "label": schemas.label("categories", category, language, category)}
            for category in grant.categories
        ],
        "pii_controllers": [context.ledger_key.origin],
        "recipient_third_parties": [grant.agency],
        "storage_locations": [JURISDICTION],
        "jurisdictions": [JURISDICTION],
        "retention_period": {"until": grant.valid_until.isoformat()},
        "withdrawal_method": f"{context.public_url}/my",
    }


def _event(grant: Any, entry: RecordedEntry) -> dict[str, Any]:
    given = entry.kind == "grant.given"
    told = {"event_type": "explicit", "validity_duration": f"P{(grant.valid_until - grant.valid_from).days}D"}
    ended = {"event_type": entry.detail.get("reason"), "valid_until": entry.at.isoformat()}
    return {
        "event_time": entry.at.isoformat(),
        "event_state": STATES[entry.kind],
        "entity_id": "pii_principal" if given or entry.detail.get("reason") != "expired" else "hub",
        **(told if given else ended),
    }
