"""More routes for survivors, under `/my/v1`: what agencies were told, what waits for a second look, what a law compelled."""

from typing import Any

from fastapi import APIRouter

from services.common.encoding import timestamp
from services.consent.api.dependencies import ContextDep, SessionDep
from services.consent.handlers.agencies import compelled
from services.consent.handlers.grants import pending
from services.consent.handlers.notices import poll
from services.consent.handlers.notices.poll import Told

routes = APIRouter(prefix="/my/v1", tags=["survivors"])


@routes.get("/notices")
def told(context: ContextDep, session: SessionDep) -> dict[str, Any]:
    """What each agency was told about you, and how far it has come."""
    return {"agencies": [told_json(one) for one in poll.told_about(context, session.subject)]}


@routes.get("/waiting")
def waits(context: ContextDep, session: SessionDep) -> dict[str, Any]:
    """What waits until somebody has looked at it with you, and why. Nothing is shared before that."""
    return {"waiting": [wait_json(row, why) for row, why in pending.waits_of(context, session.subject)]}


@routes.get("/compelled")
def list_compelled(context: ContextDep, session: SessionDep) -> dict[str, Any]:
    """What agencies shared because a law made them. What is sealed says until when."""
    return {"records": compelled.records_about(context, session.subject)}


def told_json(one: Told) -> dict[str, Any]:
    """One agency's notices as the person they are about sees them."""
    return {"agency": one.agency, **one.as_counts(), "list": [_notice_json(row, one) for row in one.notices]}


def wait_json(row: Any, why: str) -> dict[str, Any]:
    """What waits, or waited, for a second look."""
    names = ("agency", "purpose", "categories", "days", "second_look_by", "outcome")
    times = {name: timestamp(getattr(row, name)) for name in ("asked_at", "open_until", "ended_at")}
    return {"id": str(row.id), **{name: getattr(row, name) for name in names}, **times, "why": why}


def _notice_json(row: Any, one: Told) -> dict[str, Any]:
    times = ("made_at", "told_at", "acknowledge_by", "acknowledged_at", "act_by", "attested_at")
    return {
        "id": str(row.id),
        "grant": str(row.grant_id),
        **{name: getattr(row, name) for name in ("purpose", "categories", "action", "error", "attested")},
        **{name: timestamp(getattr(row, name)) for name in times},
        "overdue": poll.is_overdue(row, one.now),
    }
