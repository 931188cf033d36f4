"""Route and response model for a survivor's export: everything that is kept about her. Her pages offer it as a file."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
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
from services.consent.api.survivors.pins import PinHeaderDep
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
from services.consent.handlers.grants import drafts, pending
from services.consent.handlers.ledger import publish
from services.consent.handlers.notices import poll
from services.consent.handlers.rights import corrections, letters
from services.consent.handlers.rights.export import ledger_pages, overview

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


@routes.get("/export", response_model=Export)
def export(context: ContextDep, session: PinHeaderDep) -> StreamingResponse:
    """Return a copy of everything that the hub keeps about you; the header `Fireweed-Pin` holds your PIN."""
    return StreamingResponse(written(context, session.subject), media_type="application/json")


def written(context: Context, subject: UUID) -> Iterator[str]:
    """Return the text of her export by parts, the ledger page by page; raise 404 if she is not known."""
    # Read before the first part is asked for: once an answer has begun, it can no longer become a problem.
    head = json.dumps(export_of(context, subject), ensure_ascii=False, indent=1)
    return _parts(head.removesuffix("\n}"), proven_pages(context, subject))


def export_of(context: Context, subject: UUID) -> dict[str, Any]:
    """Return everything that is kept about a survivor, without her ledger, as JSON; raise 404 if she is not known."""
    seen = overview(context, subject, past=True)
    texts = drafts.show(context, [row.id for row in seen["requests"]])
    whole = Export(
        **{name: seen[name] for name in ("state", "since", "language", "age_band", "statistics")},
        agencies_that_know_you=sorted(seen["links"]),
        grants=[Grant.of(row) for row in seen["grants"]],
        restrictions=[Restriction.of(row) for row in seen["restrictions"]],
        requests=[ConsentRequest.of(row, parts=texts.get(row.id, {})) for row in seen["requests"]],
        waiting=[WaitingGrant.of(row, why=why) for row, why in pending.waits_of(context, subject, past=True)],
        notices=[AgencyNotices.about(one) for one in poll.told_about(context, subject)],
        compelled=compelled_disclosures(context, subject),
        words_by_grant=notes_by_grant(context, subject, [row.id for row in seen["grants"]]),
        safe_contact=safe_contact_of(context, subject),
        letters=[Letter.of(row) for row in letters.letters_of(context, subject)],
        corrections=[CorrectionAsked.of(row) for row in corrections.asked_by(context, subject)],
        keys=[Passkey.of(row) for row in passkeys.keys_of(context, subject)],
        ledger=[],
    )
    return whole.model_dump(mode="json", exclude={"ledger"})


def proven_pages(context: Context, subject: UUID) -> Iterator[list[dict[str, Any]]]:
    """Yield her ledger entries with their proofs by pages, newest first, as JSON."""
    for rows in ledger_pages(context, subject):
        proofs = publish.proofs(context, rows)
        entries = [ProvenEntry.recorded(row, proof=proof) for row, proof in zip(rows, proofs, strict=True)]
        yield [entry.model_dump(mode="json") for entry in entries]


def _parts(head: str, pages: Iterator[list[dict[str, Any]]]) -> Iterator[str]:
    yield f'{head},\n "ledger": ['
    between = "\n  "
    for page in pages:
        if page:
            yield between + ",\n  ".join(json.dumps(entry, ensure_ascii=False) for entry in page)
            between = ",\n  "
    yield "\n ]\n}\n"
