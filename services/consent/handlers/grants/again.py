"""The same yes again: all that it would allow, shown to her, and then a new grant; no grant ever gets longer by itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.common.errors import Problem, not_found
from services.consent.context import Context
from services.consent.handlers.disclosures import sent
from services.consent.handlers.grants import approved_texts, grants, notes
from services.consent.handlers.grants.grants import Wish
from services.consent.store import permissions, texts

EXPIRED = "expired"
TOLD_BEFORE = (timedelta(days=7), timedelta(days=2))
"""So long before its end she is told of it, if the grant is longer than that."""


def ends_soon(grant: Any, now: datetime) -> bool:
    """Tell whether a grant ends soon enough for her to be told."""
    left, whole = grant.valid_until - now, grant.valid_until - grant.valid_from
    return any(left <= time < whole for time in TOLD_BEFORE)


@dataclass(frozen=True, slots=True)
class Again:
    """All that the same yes allows: the grant that it repeats, days, her note, and texts if it allows certain texts only."""

    grant: Any
    days: int
    note: str | None
    texts: Mapping[str, Any] | None


def read(context: Context, subject: UUID, grant: UUID) -> Again:
    """Return all that the same yes would allow; raise 404 if the grant is not hers, 409 if it cannot be shown whole.

    Her note and the texts that she approved can be read only while the grant lives. Of these, the hub has those that were
    sent; so a yes to certain texts can be repeated once all of them were. What she has taken back is not offered again.
    """
    with context.database.reading() as connection:
        row = permissions.get_grant(connection, grant)
        if row is None or row.subject_id != subject:
            raise not_found()
        has_note = grant in texts.with_note(connection, [grant])
    lives = row.ended_at is None and row.valid_until > context.clock.now()
    if row.ended_at is not None and row.end_reason != EXPIRED:
        raise _cannot_repeat()
    if not lives and (row.only_this or has_note):
        raise _cannot_repeat()
    note = notes.show(context, subject, grant) if has_note else None
    if has_note and note is None:
        raise _cannot_repeat()
    days = max(1, (row.valid_until - row.valid_from).days)
    return Again(row, days, note, _approved(context, subject, grant) if row.only_this else None)


def give(context: Context, subject: UUID, grant: UUID, second_look_by: str | None = None) -> UUID:
    """Make a new grant that allows what an earlier one does, for as many days from now; return its id. Raises as `read`."""
    seen = read(context, subject, grant)
    row = seen.grant
    wish = Wish(row.agency, row.purpose, row.categories, seen.days, second_look_by, seen.note, seen.texts)
    return grants.give_grant(context, subject, wish)


def _approved(context: Context, subject: UUID, grant: UUID) -> Mapping[str, Any]:
    """Return the texts that she approved under a grant, from what was sent under it; raise 409 if one of them was not."""
    with context.database.reading() as connection:
        approved = approved_texts.read(context, connection, [grant], [grant])
    wanted, found = approved.digests.get(grant, {}).keys(), dict[str, Any]()
    before: UUID | None = None
    while found.keys() != wanted:
        page = sent.read(context, subject, grant, before)
        for one in page.sent:
            found |= approved_texts.among(approved, grant, one.parts or {})
        before = page.following
        if before is None and found.keys() != wanted:
            raise _cannot_repeat()
    return found


def _cannot_repeat() -> Problem:
    return Problem(409, "cannot-be-repeated", "This yes cannot be shown to you whole any more. You can make a new one.")
