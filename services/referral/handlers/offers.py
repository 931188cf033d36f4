"""Offers: questions without a person in them, their claims and declines, and their end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from services.common.errors import not_found
from services.common.instants import read_instant
from services.common.messaging.cloudevents import Event
from services.referral.context import Context
from services.referral.domain import Answering, answer_by, offer_refusal
from services.referral.handlers import feed
from services.referral.policy import retention
from services.referral.store import offers as store
from services.referral.store.offers import AnyRow

PAGE = 100
MOST_TOLD = 200
"""So many agencies are told of an offer in their feed, those with most free first; the others find it in their list."""
OPENED = "offer.opened.v1"
CLAIMED = "offer.claimed.v1"
DECLINED = "offer.declined.v1"
CLOSED = "offer.closed.v1"


def open_offer(context: Context, connection: Connection, event: Event) -> None:
    """Handle `offer.opened.v1`: keep a question without a person in it, and tell those who get it."""
    if store.is_police(connection, event.source):
        feed.refuse(context, connection, event, "not_for_police")
        return
    asked = {name: event.data[name] for name in ("need", "stage", "region", "urgency")}
    times = {"opened_at": event.time, "answer_by": answer_by(event.time, event.data["urgency"])}
    regions = sorted({event.data["region"], *event.data.get("regions", ())})
    store.add_offer(connection, {"id": event.key, "opened_by": event.source, **asked, **times}, regions)
    if times["answer_by"] > context.clock.now():
        told = store.told_first(connection, event.key, MOST_TOLD)
        feed.tell(context, connection, told, OPENED, event.key, "open")


def claim_offer(context: Context, connection: Connection, event: Event) -> None:
    """Handle `offer.claimed.v1`: keep an agency's "we can" beside those of others, or send it back."""
    data, agency = event.data, event.source
    row = store.get_offer(connection, data["offer"], lock=True)
    if row is None:
        feed.refuse(context, connection, event, "unknown_offer")
        return
    claimed = {claim.agency for claim in store.claims_of(connection, [row.id])}
    can_give = "wait" in data or store.has_free(connection, row, agency, data.get("program"))
    answering = Answering(
        row.opened_by == agency, store.is_asked(connection, row.id, agency), event.time, agency in claimed, can_give
    )
    if refused := offer_refusal(answering, row.answer_by, row.closed_at):
        feed.refuse(context, connection, event, refused.reason)
        return
    ends_at = (read_instant(data["until"]) if "until" in data else None) or row.answer_by
    kept = {"program": data.get("program"), "wait": data.get("wait"), "claimed_at": event.time, "ends_at": ends_at}
    store.add_claim(connection, {"offer_id": row.id, "agency": agency, **kept})
    feed.tell(context, connection, [row.opened_by], CLAIMED, row.id, "waitlisted" if "wait" in data else "claimed")


def decline_offer(context: Context, connection: Connection, event: Event) -> None:
    """Handle `offer.declined.v1`: keep a coded no for the opener; it ends the agency's own claim."""
    row = store.get_offer(connection, event.data["offer"], lock=True)
    if row is None:
        feed.refuse(context, connection, event, "unknown_offer")
        return
    asked = store.is_asked(connection, row.id, event.source)
    answering = Answering(row.opened_by == event.source, asked, event.time)
    if refused := offer_refusal(answering, row.answer_by, row.closed_at):
        feed.refuse(context, connection, event, refused.reason)
        return
    kept = {"reason": event.data["reason"], "declined_at": event.time}
    if store.add_decline(connection, {"offer_id": row.id, "agency": event.source, **kept}):
        feed.tell(context, connection, [row.opened_by], DECLINED, row.id, "declined")


def close_offer(context: Context, connection: Connection, event: Event) -> None:
    """Handle `offer.closed.v1`: close an offer for its opener; closed twice is closed once."""
    offer = event.data["offer"]
    if not close_for(context, connection, offer, event.source, event.time):
        asked = store.is_asked(connection, offer, event.source)
        feed.refuse(context, connection, event, "not_yours" if asked else "unknown_offer")


def close_for(context: Context, connection: Connection, offer: str, opener: str, at: datetime) -> bool:
    """Close an offer if this agency opened it, and tell those who claimed it; return whether it is theirs.

    A referral that names somebody else's offer goes on without it: the offer is left as it was, and nobody is told.
    """
    row = store.get_offer(connection, offer, lock=True)
    if row is None or row.opened_by != opener:
        return False
    if row.closed_at is None:
        store.close_offer(connection, offer, at)
        claimed = [claim.agency for claim in store.claims_of(connection, [offer])]
        feed.tell(context, connection, claimed, CLOSED, offer, "closed")
    return True


def forget_ended(context: Context) -> int:
    """Remove offers once their time of retention is over; return how many."""
    forgotten = 0
    while True:
        with context.database.transaction() as connection:
            found = store.forget_offers(connection, context.clock.now() - retention().offers, PAGE)
        forgotten += found
        if found < PAGE:
            return forgotten


@dataclass(frozen=True, slots=True)
class OfferView:
    """An offer as an agency may see it: its opener with every claim and decline, another with its own claim."""

    row: AnyRow
    regions: Sequence[str]
    is_mine: bool
    is_open: bool
    claims: Sequence[AnyRow]
    declines: Sequence[AnyRow]


def read_offers(context: Context, agency: str, after: str | None) -> Sequence[OfferView]:
    """Return a page of the offers that an agency got and may still answer, has claimed or has opened."""
    with context.database.reading() as connection:
        rows = store.offers_for(connection, agency, context.clock.now(), after or "", PAGE)
        return _views(context, connection, agency, rows)


def read_offer(context: Context, agency: str, offer: str) -> OfferView:
    """Return an offer; raise 404 for an agency that neither opened nor got it."""
    with context.database.reading() as connection:
        row = store.get_offer(connection, offer)
        opened = row is not None and row.opened_by == agency and not store.is_police(connection, agency)
        if row is None or not (opened or store.is_asked(connection, offer, agency)):
            raise not_found()
        return _views(context, connection, agency, [row])[0]


def _views(context: Context, connection: Connection, agency: str, rows: Sequence[AnyRow]) -> list[OfferView]:
    ids, now = [row.id for row in rows], context.clock.now()
    regions, claims = store.regions_of(connection, ids), store.claims_of(connection, ids)
    declines = store.declines_of(connection, [row.id for row in rows if row.opened_by == agency])
    return [
        OfferView(
            row,
            [found.region for found in regions if found.offer_id == row.id],
            row.opened_by == agency,
            row.closed_at is None and now < row.answer_by,
            [one for one in claims if one.offer_id == row.id and agency in {row.opened_by, one.agency}],
            [one for one in declines if one.offer_id == row.id],
        )
        for row in rows
    ]
