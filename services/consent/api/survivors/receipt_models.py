"""Response models of a consent receipt, in the sections of ISO/IEC TS 27560. The route is in `records`."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.consent.api.survivors.row_models import IsoTime


class _Signed(BaseModel):
    # A receipt must equal what was signed: members that are not described here are shown as well.
    model_config = ConfigDict(extra="allow")


class PrivacyNotice(_Signed):
    """The privacy notice that you read before the grant."""

    version: str
    sha256: str


class PurposeLabel(_Signed):
    """A purpose by its code, with its label in the language of the grant."""

    purpose: str
    label: str


class CategoryLabel(_Signed):
    """A category by its code, with its label in the language of the grant."""

    pii_type: str
    label: str


class RetentionPeriod(_Signed):
    """How long the grant lasts."""

    until: IsoTime


class Processing(_Signed):
    """The processing that the grant allows."""

    privacy_notice: PrivacyNotice
    language: str
    purposes: list[PurposeLabel]
    lawful_basis: str
    pii_information: list[CategoryLabel]
    pii_controllers: list[str]
    recipient_third_parties: list[str]
    storage_locations: list[str]
    jurisdictions: list[str]
    retention_period: RetentionPeriod
    withdrawal_method: str


class Party(_Signed):
    """The hub, or the agency that receives; only an agency has a name here."""

    party_id: str
    party_role: str
    party_type: str
    party_name: str | None = None


class ConsentEvent(_Signed):
    """The giving of a grant, with its duration, or its end, with the time."""

    event_time: IsoTime
    event_state: str
    entity_id: str
    event_type: str | None
    validity_duration: str | None = None
    valid_until: IsoTime | None = None


class ReceiptEntry(_Signed):
    """The ledger entry of the event, with the salt that opens its leaf."""

    at: IsoTime
    kind: str
    agency: str | None
    detail: dict[str, Any]
    salt: str


class ReceiptFacts(_Signed):
    """The record in the sections of TS 27560: header, processing, parties, events; and the ledger entry."""

    schema_version: str
    record_id: str
    receipt_id: str
    pii_principal_id: str
    pii_processing: Processing
    party_identification: list[Party]
    events: list[ConsentEvent]
    ledger: ReceiptEntry


class Receipt(BaseModel):
    """One receipt: the facts, the facts signed, and the proof that the ledger holds the entry."""

    receipt: ReceiptFacts
    jws: str
    proof: str | None = Field(description="Null while the ledger's tree does not hold the entry yet.")


class ReceiptList(BaseModel):
    """The receipts of one grant: for its giving, then for its end if it has ended."""

    receipts: list[Receipt]
