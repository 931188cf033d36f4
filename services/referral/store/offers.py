"""Queries on offers, on who got them, and on what was answered."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, exists, func, insert, or_, select, update

from services.common.database.inserts import insert_new
from services.referral.models import (
    offer,
    offer_asked,
    offer_claim,
    offer_decline,
    offer_region,
    offered_service,
    roster,
)

AnyRow = Row[tuple[Any, ...]]
POLICE = "police"


def add_offer(connection: Connection, row: Mapping[str, object], regions: Sequence[str]) -> None:
    """Add an offer, and everybody who gets it: active agencies but its opener and the police that offer its need there."""
    connection.execute(offer.insert(), dict(row))
    connection.execute(offer_region.insert(), [{"offer_id": row["id"], "region": region} for region in regions])
    agency = roster.table
    served = and_(offered_service.c.need == offer.c.need, offered_service.c.region == offer_region.c.region)
    joined = (
        offer.join(offer_region).join(offered_service, served).join(agency, agency.c.id == offered_service.c.agency)
    )
    asked = (agency.c.standing == "active", agency.c.sector != POLICE, agency.c.id != offer.c.opened_by)
    serving = select(offer.c.id, agency.c.id).select_from(joined).where(offer.c.id == row["id"], *asked).distinct()
    connection.execute(insert(offer_asked).from_select(["offer_id", "agency"], serving))


def told_first(connection: Connection, offer_id: str, limit: int) -> Sequence[str]:
    """Return so many of those who got an offer, the ones with most free first."""
    free = func.max(offered_service.c.available)
    query = select(offer_asked.c.agency).join(offered_service, offered_service.c.agency == offer_asked.c.agency)
    query = query.join(offer, offer.c.id == offer_asked.c.offer_id).where(offer.c.id == offer_id)
    query = query.where(offered_service.c.need == offer.c.need, offered_service.c.region.in_(_regions(offer_id)))
    grouped = query.group_by(offer_asked.c.agency).order_by(free.desc(), offer_asked.c.agency)
    return connection.scalars(grouped.limit(limit)).all()


def get_offer(connection: Connection, offer_id: str, *, lock: bool = False) -> AnyRow | None:
    """Return one offer; with `lock`, locked against change until the transaction ends."""
    query = select(offer).where(offer.c.id == offer_id)
    return connection.execute(query.with_for_update() if lock else query).one_or_none()


def is_asked(connection: Connection, offer_id: str, agency: str) -> bool:
    """Return whether an agency got an offer; never true of the police."""
    query = select(offer_asked.c.agency).where(offer_asked.c.offer_id == offer_id, offer_asked.c.agency == agency)
    return connection.scalar(query.where(~_is_police(agency))) is not None


def is_police(connection: Connection, agency: str) -> bool:
    """Return whether an agency is known to be of the police."""
    return bool(connection.scalar(select(_is_police(agency))))


def has_free(connection: Connection, row: AnyRow, agency: str, program: str | None) -> bool:
    """Return whether an agency's newest statements leave anything free of what an offer asks, in that program if named."""
    mine = (offered_service.c.agency == agency, offered_service.c.need == row.need, offered_service.c.available > 0)
    query = select(offered_service.c.agency).where(*mine, offered_service.c.region.in_(_regions(row.id)))
    if program is not None:
        query = query.where(offered_service.c.program == program)
    return connection.scalar(query.limit(1)) is not None


def add_claim(connection: Connection, row: Mapping[str, object]) -> None:
    """Add a claim in the place of the agency's own decline."""
    mine = (offer_decline.c.offer_id == row["offer_id"], offer_decline.c.agency == row["agency"])
    connection.execute(delete(offer_decline).where(*mine))
    connection.execute(offer_claim.insert(), dict(row))


def add_decline(connection: Connection, row: Mapping[str, Any]) -> bool:
    """Add a decline, and end the agency's own claim; return False if it has declined already."""
    mine = (offer_claim.c.offer_id == row["offer_id"], offer_claim.c.agency == row["agency"])
    at = row["declined_at"]
    connection.execute(update(offer_claim).where(*mine, offer_claim.c.ends_at > at).values(ends_at=at))
    return bool(insert_new(connection, offer_decline, [row], "agency"))


def close_offer(connection: Connection, offer_id: str, at: datetime) -> None:
    """Close an offer and end its claims."""
    connection.execute(update(offer).where(offer.c.id == offer_id).values(closed_at=at))
    running = (offer_claim.c.offer_id == offer_id, offer_claim.c.ends_at > at)
    connection.execute(update(offer_claim).where(*running).values(ends_at=at))


def claims_of(connection: Connection, offers: Sequence[str]) -> Sequence[AnyRow]:
    """Return every claim of these offers, oldest first."""
    query = select(offer_claim).where(offer_claim.c.offer_id.in_(offers))
    return connection.execute(query.order_by(offer_claim.c.claimed_at, offer_claim.c.agency)).all()


def declines_of(connection: Connection, offers: Sequence[str]) -> Sequence[AnyRow]:
    """Return every decline of these offers, oldest first."""
    query = select(offer_decline).where(offer_decline.c.offer_id.in_(offers))
    return connection.execute(query.order_by(offer_decline.c.declined_at, offer_decline.c.agency)).all()


def regions_of(connection: Connection, offers: Sequence[str]) -> Sequence[AnyRow]:
    """Return the regions of these offers."""
    query = select(offer_region).where(offer_region.c.offer_id.in_(offers))
    return connection.execute(query.order_by(offer_region.c.region)).all()


def offers_for(connection: Connection, agency: str, now: datetime, after: str, limit: int) -> Sequence[AnyRow]:
    """Return the offers an agency opened, those it claimed, and the open ones that it got, in the order of their ids."""
    got = exists().where(offer_asked.c.offer_id == offer.c.id, offer_asked.c.agency == agency)
    claimed = exists().where(offer_claim.c.offer_id == offer.c.id, offer_claim.c.agency == agency)
    is_open = and_(offer.c.closed_at.is_(None), offer.c.answer_by > now)
    seen = or_(offer.c.opened_by == agency, claimed, and_(got, is_open))
    query = select(offer).where(offer.c.id > after, seen, ~_is_police(agency))
    return connection.execute(query.order_by(offer.c.id).limit(limit)).all()


def forget_offers(connection: Connection, ended_before: datetime, limit: int) -> int:
    """Remove offers that ended before then, with what was answered to them; return how many."""
    end = func.coalesce(offer.c.closed_at, offer.c.answer_by, type_=offer.c.answer_by.type)
    query = select(offer.c.id).where(end < ended_before).order_by(offer.c.id).limit(limit)
    ids = connection.scalars(query.with_for_update(skip_locked=True)).all()
    for table in (offer_region, offer_asked, offer_claim, offer_decline):
        connection.execute(delete(table).where(table.c.offer_id.in_(ids)))
    connection.execute(delete(offer).where(offer.c.id.in_(ids)))
    return len(ids)


def _regions(offer_id: str) -> Any:
    return select(offer_region.c.region).where(offer_region.c.offer_id == offer_id)


def _is_police(agency: str) -> Any:
    return exists().where(roster.table.c.id == agency, roster.table.c.sector == POLICE)
