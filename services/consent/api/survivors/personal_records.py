"""Response models for what a survivor wrote and carries: her notes, safe contact, letters, corrections and passkeys."""

from collections.abc import Iterable
from uuid import UUID

from pydantic import BaseModel, Field

from services.consent.api.survivors.row_models import IsoTime, RowModel
from services.consent.context import Context
from services.consent.handlers.grants import notes
from services.consent.handlers.rights import contacts


class SafeContact(BaseModel):
    """How you may be reached. `still_good` is false when you have not confirmed it lately."""

    channel: str
    address: str
    window: str
    wording: str
    still_good: bool


class Letter(RowModel):
    """A letter that names one agency. Its code is not kept."""

    agency: str
    made_at: IsoTime
    valid_until: IsoTime
    used_at: IsoTime | None
    ended_at: IsoTime | None


class CorrectionAsked(RowModel):
    """A correction that you asked an agency to make."""

    grant: UUID = Field(validation_alias="grant_id")
    agency: str
    category: str
    asked_at: IsoTime
    done_at: IsoTime | None


class Passkey(RowModel):
    """A passkey on one of your devices, by its times only."""

    added_at: IsoTime
    used_at: IsoTime | None


def notes_by_grant(context: Context, subject: UUID, grants: Iterable[UUID]) -> dict[str, str]:
    """Return her note for each of the grants that has one, by the grant's id."""
    return {str(grant): note for grant in grants if (note := notes.show(context, subject, grant))}


def safe_contact_of(context: Context, subject: UUID) -> SafeContact | None:
    """Return how she may be reached, None if she has not said."""
    contact = contacts.read(context, subject)
    return SafeContact(**contact.wish, still_good=contact.fresh) if contact else None
