"""Routes for what is recorded about a survivor, as JSON: ledger, receipts, notices, compelled disclosures, her copy."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from services.consent.api.dependencies import ContextDep, SessionDep, SteppedUpDep
from services.consent.api.survivors.export import export_json
from services.consent.api.survivors.views import ledger_json, told_json
from services.consent.handlers.agencies import compelled
from services.consent.handlers.ledger.receipts import receipts_of
from services.consent.handlers.notices import poll
from services.consent.handlers.rights import rights

routes = APIRouter(prefix="/my/v1", tags=["survivors"])


@routes.get("/ledger")
def read_ledger(context: ContextDep, session: SessionDep, before: int | None = None) -> dict[str, Any]:
    """What happened, newest first; `next` is the `before` of the following page."""
    rows, following = rights.read_ledger(context, session.subject, before)
    return {"entries": [ledger_json(row) for row in rows], "next": following}


@routes.get("/receipts/{grant}")
def receipts(context: ContextDep, session: SessionDep, grant: UUID) -> dict[str, Any]:
    """Receipts of one grant: that you gave it and, if so, that it ended. Keep them; anybody can verify them offline."""
    return {"receipts": [made.as_json() for made in receipts_of(context, session.subject, grant)]}


@routes.get("/notices")
def told(context: ContextDep, session: SessionDep) -> dict[str, Any]:
    """What each agency was told about you, and how far it has come."""
    return {"agencies": [told_json(one) for one in poll.told_about(context, session.subject)]}


@routes.get("/compelled")
def list_compelled(context: ContextDep, session: SessionDep) -> dict[str, Any]:
    """What agencies shared because a law made them. What is sealed says until when."""
    return {"records": compelled.records_about(context, session.subject)}


@routes.get("/export")
def export(context: ContextDep, session: SteppedUpDep) -> dict[str, Any]:
    """A copy of everything the hub keeps about you."""
    return export_json(context, session.subject)
