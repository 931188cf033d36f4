"""Rows about a survivor as the JSON that she reads; the routes and her copy share it."""

from datetime import datetime
from typing import Any

from services.consent.handlers.notices import poll
from services.consent.handlers.notices.poll import Told
from services.consent.ledger.commitments import shown


def grant_json(row: Any) -> dict[str, Any]:
    """A grant as its giver sees it."""
    return {
        "id": str(row.id),
        "agency": row.agency,
        "purpose": row.purpose,
        "categories": row.categories,
        "valid_from": iso(row.valid_from),
        "valid_until": iso(row.valid_until),
        "ended_at": iso(row.ended_at),
        "end_reason": row.end_reason,
        "notice_version": row.notice_version,
        "notice_sha256": row.notice_sha256,
    }


def restriction_json(row: Any) -> dict[str, Any]:
    """Return a restriction."""
    names = ("agency", "sector", "category", "purpose", "reason")
    times = {"since": iso(row.created_at), "lifted_at": iso(row.lifted_at)}
    return {"id": str(row.id), **times, **{name: getattr(row, name) for name in names}}


def request_json(row: Any) -> dict[str, Any]:
    """Return a consent request."""
    names = ("asked_by", "agency", "purpose", "categories", "accepted")
    times = {name: iso(getattr(row, name)) for name in ("asked_at", "open_until", "answered_at")}
    return {"id": str(row.id), **times, **{name: getattr(row, name) for name in names}}


def wait_json(row: Any, why: str) -> dict[str, Any]:
    """What waits, or waited, for a second look."""
    names = ("agency", "purpose", "categories", "days", "second_look_by", "outcome")
    times = {name: iso(getattr(row, name)) for name in ("asked_at", "open_until", "ended_at")}
    return {"id": str(row.id), **{name: getattr(row, name) for name in names}, **times, "why": why}


def told_json(one: Told) -> dict[str, Any]:
    """One agency's notices as the person they are about sees them."""
    return {"agency": one.agency, **one.as_counts(), "list": [_notice_json(row, one) for row in one.notices]}


def ledger_json(row: Any) -> dict[str, Any]:
    """A line of the ledger."""
    place = {"position": row.position, "leaf_index": row.leaf_index}
    return {**place, **shown(row.record, row.salt)}


def _notice_json(row: Any, one: Told) -> dict[str, Any]:
    times = ("made_at", "told_at", "acknowledge_by", "acknowledged_at", "act_by", "attested_at")
    return {
        "id": str(row.id),
        "grant": str(row.grant_id),
        **{name: getattr(row, name) for name in ("purpose", "categories", "action", "error", "attested")},
        **{name: iso(getattr(row, name)) for name in times},
        "overdue": poll.is_overdue(row, one.now),
    }


def iso(value: datetime | None) -> str | None:
    """Return a time in ISO 8601."""
    return value.isoformat() if value else None
