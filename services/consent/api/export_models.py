"""What she wrote and carries, as JSON, for her copy of everything."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from services.common.encoding import timestamp
from services.consent.context import Context
from services.consent.handlers.accounts import passkeys
from services.consent.handlers.grants import notes
from services.consent.handlers.rights import contacts, corrections, letters


def papers_json(context: Context, subject: UUID, grants: Iterable[UUID]) -> dict[str, Any]:
    """Her words, safe contact, letters, keys, and what she asked to be put right. Codes and keys themselves are not kept."""
    contact = contacts.read(context, subject)
    spoken = {str(grant): hers for grant in grants if (hers := notes.show(context, subject, grant))}
    return {
        "words_by_grant": spoken,
        "safe_contact": {**contact.wish, "still_good": contact.fresh} if contact else None,
        "letters": [_letter(row) for row in letters.letters_of(context, subject)],
        "corrections": [_correction(row) for row in corrections.asked_by(context, subject)],
        "keys": [_times(row, "added_at", "used_at") for row in passkeys.keys_of(context, subject)],
    }


def _letter(row: Any) -> dict[str, Any]:
    return {"agency": row.agency, **_times(row, "made_at", "valid_until", "used_at", "ended_at")}


def _correction(row: Any) -> dict[str, Any]:
    told = {"grant": str(row.grant_id), "agency": row.agency, "category": row.category}
    return {**told, **_times(row, "asked_at", "done_at")}


def _times(row: Any, *names: str) -> dict[str, str | None]:
    return {name: timestamp(getattr(row, name)) for name in names}
