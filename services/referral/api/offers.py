"""The routes of offers: questions without a person in them, as those see them who asked or were asked."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from services.common.auth.access_tokens import Caller
from services.common.auth.limited_acts import limited
from services.referral.api.queries import ContextDep, StrictQuery
from services.referral.context import Context
from services.referral.handlers import offers

routes = APIRouter(prefix="/referral/v1", tags=["agencies"])
ID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


class OffersQuery(StrictQuery):
    """Which page of the offers."""

    cursor: str | None = Field(None, max_length=36, pattern=ID, description="The `next` of the page before.")


class Claim(BaseModel):
    """An agency's "we can", or with `wait` "we can, after a wait"."""

    agency: str
    program: str | None
    wait: str | None = Field(description="A code of `waits`; null if something is free.")
    claimed_at: datetime
    ends_at: datetime
    ended: bool


class Decline(BaseModel):
    """An agency's coded no."""

    agency: str
    reason: str
    declined_at: datetime


class Offer(BaseModel):
    """A question without a person in it: who can take this need, here, now?"""

    offer: str
    need: str
    stage: str
    region: str
    regions: list[str]
    urgency: str
    opened_at: datetime
    answer_by: datetime
    open: bool
    mine: bool
    claims: list[Claim] = Field(description="Every claim if it is yours, else only your own.")
    declines: list[Decline] = Field(description="Every decline if it is yours, else none.")


class Offers(BaseModel):
    """A page, oldest first; `next` is the `cursor` of the following page, null on the last."""

    items: list[Offer]
    next: str | None


@routes.get("/offers", dependencies=[limited("reads")])
def read_all(context: ContextDep, agency: Caller, query: Annotated[OffersQuery, Query()]) -> Offers:
    """List open questions that you got, the ones you have claimed, and the ones you have asked."""
    views = offers.read_offers(context, agency, query.cursor)
    more = views[-1].row.id if len(views) == offers.PAGE else None
    return Offers(items=[_offer(context, view) for view in views], next=more)


@routes.get("/offers/{offer}", dependencies=[limited("reads")])
def read_one(context: ContextDep, agency: Caller, offer: str) -> Offer:
    """Read an offer that you opened, with every claim and decline, or one that you got, with your own claim."""
    return _offer(context, offers.read_offer(context, agency, offer))


def _offer(context: Context, view: offers.OfferView) -> Offer:
    row, now = view.row, context.clock.now()
    names = ("need", "stage", "region", "urgency", "opened_at", "answer_by")
    claims = [
        Claim(
            **{name: getattr(claim, name) for name in ("agency", "program", "wait", "claimed_at", "ends_at")},
            ended=claim.ends_at <= now,
        )
        for claim in view.claims
    ]
    declines = [Decline(agency=one.agency, reason=one.reason, declined_at=one.declined_at) for one in view.declines]
    return Offer(
        offer=row.id,
        **{name: getattr(row, name) for name in names},
        regions=list(view.regions),
        open=view.is_open,
        mine=view.is_mine,
        claims=claims,
        declines=declines,
    )
