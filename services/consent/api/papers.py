"""What she wrote and carries, as JSON, for her copy of everything."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from services.consent.handlers import contacts, corrections, letters, passkeys, words
from services.consent.room import Room


def papers_json(room: Room, subject: UUID, grants: Iterable[UUID]) -> dict[str, Any]:
    """Her words, safe contact, letters, keys, and what she asked to be put right. Codes and keys themselves are not kept."""
    contact = contacts.read(room, subject)
    spoken = {str(grant): hers for grant in grants if (hers := words.show(room, subject, grant))}
    return {
        "words_by_grant": spoken,
        "safe_contact": {**contact.wish, "still_good": contact.fresh} if contact else None,
        "letters": [_letter(row) for row in letters.letters_of(room, subject)],
        "corrections": [_correction(row) for row in corrections.asked_by(room, subject)],
        "keys": [_times(row, "added_at", "used_at") for row in passkeys.keys_of(room, subject)],
    }


def _letter(row: Any) -> dict[str, Any]:
    return {"agency": row.agency, **_times(row, "made_at", "valid_until", "used_at", "ended_at")}


def _correction(row: Any) -> dict[str, Any]:
    told = {"grant": str(row.grant_id), "agency": row.agency, "category": row.category}
    return {**told, **_times(row, "asked_at", "done_at")}


def _times(row: Any, *names: str) -> dict[str, str | None]:
    found = {name: getattr(row, name) for name in names}
    return {name: instant.isoformat() if instant else None for name, instant in found.items()}
