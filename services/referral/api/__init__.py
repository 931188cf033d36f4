"""The referral service's routes for agencies, under `/referral`."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from services.common.auth.access_tokens import Caller
from services.common.auth.limited_acts import limited
from services.referral import handlers
from services.referral.api.queries import ContextDep, PageQuery, next_of
from services.referral.context import Context
from services.referral.events import ROUTING
from services.referral.handlers import clocks
from services.referral.store import AnyRow

routes = APIRouter(prefix="/referral/v1", tags=["agencies"])


class InboxItem(BaseModel):
    """A referral that waits for you or that you have taken on. Bring its envelope to the consent service to open it."""

    referral: str
    envelope: str
    sender: str
    purpose: str
    need: str
    stage: str
    region: str
    urgency: str
    state: str
    requested_at: datetime
    answer_by: datetime
    overdue: bool


class Inbox(BaseModel):
    """A page, oldest first; `next` is the `cursor` of the following page, null on the last."""

    items: list[InboxItem]
    next: str | None


class Step(BaseModel):
    """One state in a referral's life."""

    state: str
    reason: str | None
    at: datetime


class Referral(BaseModel):
    """A referral as its two sides see it."""

    referral: str
    sender: str
    recipient: str
    purpose: str
    need: str
    stage: str
    region: str
    urgency: str
    state: str
    requested_at: datetime
    answer_by: datetime
    opened_at: datetime | None
    overdue: bool
    wait: str | None = Field(description="The wait last stated, a code of `waits`.")
    outcome: str | None = Field(description="How it ended, a code of `outcomes`.")
    history: list[Step]


@routes.get("/inbox", dependencies=[limited("reads")])
def inbox(context: ContextDep, agency: Caller, query: Annotated[PageQuery, Query()]) -> Inbox:
    """List what waits for you, with sealed envelopes. Withdrawn, declined and cancelled referrals are no longer here."""
    rows = handlers.read_inbox(context, agency, query.place())
    return Inbox(items=[_item(context, row) for row in rows], next=next_of(rows, handlers.PAGE))


@routes.get("/referrals/{referral}", dependencies=[limited("reads")])
def referral(context: ContextDep, agency: Caller, referral: str) -> Referral:
    """A referral you sent or received, with its history."""
    view = handlers.read_referral(context, agency, referral)
    history = [Step(state=step.state, reason=step.reason, at=step.at) for step in view.steps]
    told = _common(context, view.row, view.state, view.promise_since)
    return Referral(
        **told,
        recipient=view.row.recipient,
        opened_at=view.opened_at,
        wait=view.wait,
        outcome=view.outcome,
        history=history,
    )


def _item(context: Context, row: AnyRow) -> InboxItem:
    return InboxItem(**_common(context, row, row.state, row.promise_since), envelope=row.sealed)


def _common(context: Context, row: AnyRow, state: str, since: datetime | None) -> dict[str, Any]:
    named = {name: getattr(row, name) for name in (*ROUTING, "sender", "requested_at", "answer_by")}
    overdue = clocks.is_late(row, state, since, context.clock.now())
    return {"referral": row.id, **named, "state": state, "overdue": overdue}
