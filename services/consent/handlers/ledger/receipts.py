"""Receipts: what she allowed and took back, shaped after ISO/IEC TS 27560, signed, and proven to stand in the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import schemas
from services.common.errors import not_found
from services.consent.context import Context
from services.consent.handlers.ledger.publish import prover
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
    """One receipt: the facts as people read them, the same signed, and the proof; None until the ledger took it in."""

    facts: Mapping[str, Any]
    signed: str
    proof: str | None

    def as_json(self) -> dict[str, Any]:
        """The receipt as she keeps it: whoever has it needs only the ledger's public key to verify it."""
        return {"receipt": dict(self.facts), "jws": self.signed, "proof": self.proof}


def receipts_of(context: Context, subject: UUID, grant: UUID) -> list[Receipt]:
    """The receipts of one of her grants, for its giving and for its end if it has ended, in this order."""
    with context.database.reading() as connection:
        row = permissions.get_grant(connection, grant)
        if row is None or row.subject_id != subject:
            raise not_found()
        agency = context.roster.find(connection, [row.agency]).get(row.agency)
        lines = _lines(ledger.about(connection, subject, None, _ALL, list(STATES)), grant)
        prove = prover(connection)
        proofs = [prove(line.leaf_index) for line in lines]
    name = agency.name if agency else row.agency
    made = [_facts(context, row, name, line) for line in lines]
    return [
        Receipt(facts, context.ledger_key.receipt(facts), str(proof) if proof else None)
        for facts, proof in zip(made, proofs, strict=True)
    ]


def _lines(lines: Sequence[RecordedEntry], grant: UUID) -> list[RecordedEntry]:
    return [line for line in reversed(lines) if line.detail.get("grant") == str(grant)]


def _facts(context: Context, grant: Any, agency: str, line: RecordedEntry) -> dict[str, Any]:
    """The record in the sections of TS 27560: header, processing, parties, events; and what opens the ledger's leaf."""
    return {
        "schema_version": SCHEMA,
        "record_id": f"urn:uuid:{grant.id}",
        "receipt_id": f"{context.ledger_key.origin}/{line.position}",
        # She is known by nothing but this grant: a receipt that is found names nobody.
        "pii_principal_id": f"urn:uuid:{grant.id}",
        "pii_processing": _processing(context, grant),
        "party_identification": [
            {"party_id": context.ledger_key.origin, "party_role": "pii_controller", "party_type": "hub"},
            {"party_id": grant.agency, "party_name": agency, "party_role": "recipient", "party_type": "agency"},
        ],
        "events": [_event(grant, line)],
        "ledger": shown(line.record, line.salt),
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


def _event(grant: Any, line: RecordedEntry) -> dict[str, Any]:
    given = line.kind == "grant.given"
    told = {"event_type": "explicit", "validity_duration": f"P{(grant.valid_until - grant.valid_from).days}D"}
    ended = {"event_type": line.detail.get("reason"), "valid_until": line.at.isoformat()}
    return {
        "event_time": line.at.isoformat(),
        "event_state": STATES[line.kind],
        "entity_id": "pii_principal" if given or line.detail.get("reason") != "expired" else "hub",
        **(told if given else ended),
    }
