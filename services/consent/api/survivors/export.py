"""A survivor's copy of everything that is kept about her, as JSON. The route is in `records`."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from services.consent.api.survivors.views import (
    grant_json,
    iso,
    ledger_json,
    request_json,
    restriction_json,
    told_json,
    wait_json,
)
from services.consent.context import Context
from services.consent.handlers.accounts import passkeys
from services.consent.handlers.agencies import compelled
from services.consent.handlers.grants import notes, pending
from services.consent.handlers.ledger import publish
from services.consent.handlers.notices import poll
from services.consent.handlers.rights import contacts, corrections, letters, rights
from services.consent.ledger.entries import RecordedEntry


def export_json(context: Context, subject: UUID) -> dict[str, Any]:
    """Everything that is kept about a survivor, as JSON."""
    seen = rights.overview(context, subject, past=True)
    entries: list[Any] = []
    before: int | None = None
    while True:
        rows, before = rights.read_ledger(context, subject, before)
        entries += rows
        if before is None:
            break
    return {
        "state": seen["state"],
        "since": iso(seen["since"]),
        "language": seen["language"],
        "age_band": seen["age_band"],
        "statistics": seen["statistics"],
        "agencies_that_know_you": sorted(seen["links"]),
        "grants": [grant_json(row) for row in seen["grants"]],
        "restrictions": [restriction_json(row) for row in seen["restrictions"]],
        "requests": [request_json(row) for row in seen["requests"]],
        "waiting": [wait_json(row, why) for row, why in pending.waits_of(context, subject, past=True)],
        "notices": [told_json(one) for one in poll.told_about(context, subject)],
        "compelled": compelled.records_about(context, subject),
        **papers_json(context, subject, [row.id for row in seen["grants"]]),
        "ledger": proven(context, entries),
    }


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


def proven(context: Context, lines: Sequence[RecordedEntry]) -> list[dict[str, Any]]:
    """Lines of the ledger, each with the proof that it stands there; none for one that was recorded a moment ago."""
    proofs = publish.proofs(context, [line.leaf_index if line.salt else None for line in lines])
    return [{**ledger_json(line), "proof": proof} for line, proof in zip(lines, proofs, strict=True)]


def _letter(row: Any) -> dict[str, Any]:
    return {"agency": row.agency, **_times(row, "made_at", "valid_until", "used_at", "ended_at")}


def _correction(row: Any) -> dict[str, Any]:
    told = {"grant": str(row.grant_id), "agency": row.agency, "category": row.category}
    return {**told, **_times(row, "asked_at", "done_at")}


def _times(row: Any, *names: str) -> dict[str, str | None]:
    found = {name: getattr(row, name) for name in names}
    return {name: instant.isoformat() if instant else None for name, instant in found.items()}
