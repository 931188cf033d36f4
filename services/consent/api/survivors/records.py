"""Routes and response models for what is recorded about a survivor: ledger, receipts, notices, compelled disclosures."""

from collections.abc import Sequence
from typing import Any, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.consent.api.dependencies import ContextDep, SessionDep
from services.consent.api.survivors.receipt_models import Receipt, ReceiptList
from services.consent.api.survivors.row_models import IsoDate, IsoTime, RowModel
from services.consent.context import Context
from services.consent.handlers.agencies import compelled
from services.consent.handlers.ledger.receipts import receipts_of
from services.consent.handlers.notices import poll
from services.consent.handlers.notices.poll import Told
from services.consent.handlers.rights import export
from services.consent.ledger.commitments import shown

routes = APIRouter(prefix="/my/v1", tags=["survivors"])


class LedgerEntry(BaseModel):
    """A ledger entry with its salt: people you show it to can check it against the public leaf."""

    position: int
    leaf_index: int | None = Field(
        description="Where the ledger's tree holds it; null for an entry of the last moments."
    )
    at: IsoTime
    kind: str
    agency: str | None
    detail: dict[str, Any] = Field(description="Codes and ids; which of them depends on the kind.")
    salt: str
    times: int = Field(1, description="How often it happened within a day: repeats by one agency are one entry.")
    last_at: IsoTime | None = Field(None, description="When it happened last, if more than once.")

    @classmethod
    def recorded(cls, entry: Any, **more: object) -> Self:
        """Return the model of a recorded entry; `more` holds the members of a subclass."""
        counted = {"times": entry.times, "last_at": entry.last_at}
        told: dict[str, Any] = {**shown(entry.record, entry.salt), **counted, **more}
        return cls(position=entry.position, leaf_index=entry.leaf_index, **told)


class LedgerPage(BaseModel):
    """Ledger entries, newest first; `next` is null on the last page."""

    entries: list[LedgerEntry]
    next: int | None


class NoticeToAgency(RowModel):
    """A notice that told an agency to stop using something, and how far the agency has come with it."""

    id: UUID
    grant: UUID = Field(validation_alias="grant_id")
    purpose: str
    categories: list[str]
    action: str
    error: str | None
    attested: str | None
    made_at: IsoTime
    told_at: IsoTime | None
    acknowledge_by: IsoTime
    acknowledged_at: IsoTime | None
    act_by: IsoTime
    attested_at: IsoTime | None
    overdue: bool


class AgencyNotices(BaseModel):
    """The notices to one agency, counted by how far it has come, and listed."""

    agency: str
    notices: int
    told: int
    acknowledged: int
    attested: int
    overdue: int
    list: Sequence[NoticeToAgency]

    @classmethod
    def about(cls, one: Told) -> Self:
        """Return the model of one agency's notices."""
        notices = [NoticeToAgency.of(row, overdue=poll.is_overdue(row, one.now)) for row in one.notices]
        return cls(agency=one.agency, **one.as_counts(), list=notices)


class NoticeList(BaseModel):
    """The notices about you, by agency."""

    agencies: list[AgencyNotices]


class SealedDisclosure(BaseModel):
    """A compelled disclosure that is sealed: only that it exists, and until when it is sealed."""

    id: UUID
    recorded_at: IsoTime
    sealed_until: IsoDate | None


class CompelledDisclosure(SealedDisclosure):
    """A disclosure that a law compelled, with the salt that opens its commitment in the ledger."""

    agency: str
    basis: str
    authority: str
    categories: list[str]
    disclosed_on: IsoDate
    approvers: list[str]
    salt: str


class CompelledList(BaseModel):
    """The compelled disclosures about you."""

    records: list[CompelledDisclosure | SealedDisclosure]


@routes.get("/ledger")
def read_ledger(context: ContextDep, session: SessionDep, before: int | None = None) -> LedgerPage:
    """List your ledger entries, newest first; `next` is the `before` of the following page."""
    rows, following = export.ledger_page(context, session.subject, before)
    return LedgerPage(entries=[LedgerEntry.recorded(row) for row in rows], next=following)


@routes.get("/receipts/{grant}", response_model_exclude_unset=True)
def receipts(context: ContextDep, session: SessionDep, grant: UUID) -> ReceiptList:
    """Return the receipts of one grant: for its giving and, if it ended, for its end. Anybody can verify them offline."""
    made = receipts_of(context, session.subject, grant)
    return ReceiptList(receipts=[Receipt.model_validate(receipt.as_json()) for receipt in made])


@routes.get("/notices")
def told(context: ContextDep, session: SessionDep) -> NoticeList:
    """List the notices that told agencies to stop using something, and how far each agency has come with them."""
    return NoticeList(agencies=[AgencyNotices.about(one) for one in poll.told_about(context, session.subject)])


@routes.get("/compelled")
def list_compelled(context: ContextDep, session: SessionDep) -> CompelledList:
    """List the disclosures that a law compelled. A sealed one says only until when it is sealed."""
    return CompelledList(records=compelled_disclosures(context, session.subject))


def compelled_disclosures(context: Context, subject: UUID) -> list[CompelledDisclosure | SealedDisclosure]:
    """Return every compelled disclosure about a survivor."""
    rows = compelled.records_about(context, subject)
    return [CompelledDisclosure(**row) if "agency" in row else SealedDisclosure(**row) for row in rows]
