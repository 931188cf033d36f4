"""The route of the feed: what changed for an agency, as ids and states."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from services.common.auth.access_tokens import Caller
from services.common.auth.limited_acts import limited
from services.common.http.dependencies import from_state
from services.referral.api.queries import MOST_NUMBER, ContextDep, StrictQuery
from services.referral.handlers import feed
from services.referral.long_poll import Waiting

routes = APIRouter(prefix="/referral/v1", tags=["agencies"])
MOST_SECONDS = 25

WaitingDep = Annotated[Waiting, Depends(from_state("waiting"))]


class FeedQuery(StrictQuery):
    """From where to read, and how long to wait if nothing is there."""

    after: int = Field(0, ge=0, le=MOST_NUMBER, description="The `next` of your last page; 0 from the beginning.")
    wait: int = Field(0, ge=0, le=MOST_SECONDS, description="Seconds to wait for an entry if there is none yet.")


class Entry(BaseModel):
    """One change. Ask the route of its kind for more: a referral, an event, a notice."""

    number: int
    type: str
    id: str
    state: str | None
    at: datetime


class Feed(BaseModel):
    """A page, in the order in which the changes were committed; `next` is the `after` of the following page."""

    items: list[Entry]
    next: int


@routes.get("/feed", dependencies=[limited("reads")])
async def read(
    context: ContextDep, waiting: WaitingDep, agency: Caller, request: Request, query: Annotated[FeedQuery, Query()]
) -> Feed:
    """Read what changed for you, in numbered order without gaps: ids and states, never content.

    With `wait` the request stays open until there is an entry. Keep `next`, and ask again with it as `after`.
    """
    page = await run_in_threadpool(feed.read_feed, context, agency, query.after)
    if not page.entries and query.wait:
        await waiting.wait(agency, query.after, query.wait, request.is_disconnected)
        page = await run_in_threadpool(feed.read_again, context, agency, query.after)
    items = [
        Entry(number=row.number, type=row.type, id=row.subject, state=row.state, at=row.at) for row in page.entries
    ]
    return Feed(items=items, next=page.next)
