"""Route and response model for a survivor's export: everything that is kept about her. Her pages offer it as a file."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.consent.api.dependencies import ContextDep
from services.consent.api.survivors.permissions import ConsentRequest, Grant, Restriction, WaitingGrant
from services.consent.api.survivors.personal_records import (
    CorrectionAsked,
    Letter,
    Passkey,
    SafeContact,
    notes_by_grant,
    safe_contact_of,
)
from services.consent.api.survivors.pins import PinNowDep
from services.consent.api.survivors.records import (
    AgencyNotices,
    CompelledDisclosure,
    LedgerEntry,
    SealedDisclosure,
    compelled_disclosures,
)
from services.consent.api.survivors.row_models import IsoTime
from services.consent.context import Context
from services.consent.handlers.accounts import passkeys
from services.consent.handlers.grants import pending
from services.consent.handlers.ledger import publish
from services.consent.handlers.notices import poll
from services.consent.handlers.rights import corrections, letters
from services.consent.handlers.rights.export import ledger_page, overview

routes = APIRouter(prefix="/my/v1", tags=["survivors"])


class ProvenEntry(LedgerEntry):
    """A ledger entry with the proof that the ledger's tree holds it; null for an entry of the last moments."""

    proof: str | None


class Export(BaseModel):
    """Everything that the hub keeps about you. Codes and keys themselves are not kept."""

    state: str
    since: IsoTime
    language: str
    age_band: str | None
    statistics: bool
    agencies_that_know_you: list[str]
    grants: list[Grant]
    restrictions: list[Restriction]
    requests: list[ConsentRequest]
    waiting: list[WaitingGrant]
    notices: list[AgencyNotices]
    compelled: list[CompelledDisclosure | SealedDisclosure]
    words_by_grant: dict[str, str] = Field(description="Your note for each grant that has one, by the grant's id.")
    safe_contact: SafeContact | None
    letters: list[Letter]
    corrections: list[CorrectionAsked]
    keys: list[Passkey]
    ledger: list[ProvenEntry]


@routes.post("/export")
def export(context: ContextDep, session: PinNowDep) -> Export:
    """Return a copy of everything that the hub keeps about you; the body holds your PIN."""
    return export_of(context, session.subject)


def export_of(context: Context, subject: UUID) -> Export:
    """Return everything that is kept about a survivor; raise 404 if she is not known."""
    seen = overview(context, subject, past=True)
    return Export(
        **{name: seen[name] for name in ("state", "since", "language", "age_band", "statistics")},
        agencies_that_know_you=sorted(seen["links"]),
        grants=[Grant.of(row) for row in seen["grants"]],
        restrictions=[Restriction.of(row) for row in seen["restrictions"]],
        requests=[ConsentRequest.of(row) for row in seen["requests"]],
        waiting=[WaitingGrant.of(row, why=why) for row, why in pending.waits_of(context, subject, past=True)],
        notices=[AgencyNotices.about(one) for one in poll.told_about(context, subject)],
        compelled=compelled_disclosures(context, subject),
        words_by_grant=notes_by_grant(context, subject, [row.id for row in seen["grants"]]),
        safe_contact=safe_contact_of(context, subject),
        letters=[Letter.of(row) for row in letters.letters_of(context, subject)],
        corrections=[CorrectionAsked.of(row) for row in corrections.asked_by(context, subject)],
        keys=[Passkey.of(row) for row in passkeys.keys_of(context, subject)],
        ledger=_proven(context, _whole_ledger(context, subject)),
    )


def _whole_ledger(context: Context, subject: UUID) -> Sequence[Any]:
    rows, before = ledger_page(context, subject, None)
    entries = list(rows)
    while before is not None:
        rows, before = ledger_page(context, subject, before)
        entries += rows
    return entries


def _proven(context: Context, entries: Sequence[Any]) -> list[ProvenEntry]:
    """Return entries with their proofs. An entry without salt gets none: nobody can read it any more."""
    proofs = publish.proofs(context, [entry.leaf_index if entry.salt else None for entry in entries])
    return [ProvenEntry.recorded(entry, proof=proof) for entry, proof in zip(entries, proofs, strict=True)]
