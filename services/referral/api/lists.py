"""The route of an agency's own referrals, sent or received, by state."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from services.common.auth.access_tokens import Caller
from services.common.auth.limited_acts import limited
from services.referral.api.queries import ContextDep, PageQuery, next_of
from services.referral.domain import State
from services.referral.events import ROUTING
from services.referral.handlers import clocks, lists

routes = APIRouter(prefix="/referral/v1", tags=["agencies"])


class ListQuery(PageQuery):
    """Which referrals: the ones you sent or the ones you received, in all states or in one."""

    role: Literal["sender", "recipient"] = Field(description="Your side.")
    state: State | None = Field(None, description="Only those that are in this state now.")


class ListedReferral(BaseModel):
    """A referral of yours. Its history is at `GET /referral/v1/referrals/{referral}`."""

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
    overdue: bool


class Referrals(BaseModel):
    """A page, in the order in which the hub took them; `next` is the `cursor` of the following page, null on the last."""

    items: list[ListedReferral]
    next: str | None


@routes.get("/referrals", dependencies=[limited("reads")])
def referrals(context: ContextDep, agency: Caller, query: Annotated[ListQuery, Query()]) -> Referrals:
    """List the referrals that you sent or received. A referral that is stored late comes later in the list, never before."""
    now = context.clock.now()
    rows = lists.read_list(context, agency, query.role, query.state, query.place())
    items = [
        ListedReferral(
            referral=row.id,
            **{name: getattr(row, name) for name in (*ROUTING, "sender", "recipient", "requested_at", "answer_by")},
            state=row.seen_state,
            overdue=clocks.is_late(row, row.seen_state, now),
        )
        for row in rows
    ]
    return Referrals(items=items, next=next_of(rows, lists.PAGE))
