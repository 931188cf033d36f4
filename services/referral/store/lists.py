"""Queries on the lists of an agency's own referrals."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, Select, literal, or_, select

from services.referral.models import referral, standstill, step

AnyRow = Row[tuple[Any, ...]]


def list_of(
    connection: Connection, agency: str, role: str, state: str | None, after: int, limit: int
) -> Sequence[AnyRow]:
    """Return referrals on one side of which an agency is, in the order of commit, from just after a place in its list.

    `place` of a row is its place in that list. `seen_state` is the present state, or for an agency for which the referral
    stands still the one it was in then; `state` selects by it.
    """
    place = referral.c[f"{role}_place"]
    # Two queries, so that each is answered from an index: few referrals stand still, and many move.
    moving = _of(agency, role, referral.c.state).where(~_stands_still(agency).exists())
    still = _of(agency, role, _state_then()).join(standstill, standstill.c.grant_id == referral.c.grant_id)
    still = still.where(standstill.c.agency == agency)
    if state is not None:
        moving, still = moving.where(referral.c.state == state), still.where(_state_then() == state)
    found: list[AnyRow] = []
    for query in (moving, still):
        found += connection.execute(query.where(place > after).order_by(place).limit(limit)).all()
    return sorted(found, key=attrgetter("place"))[:limit]


def _of(agency: str, role: str, seen: Any) -> Select[Any]:
    place = referral.c[f"{role}_place"]
    return select(referral, place.label("place"), seen.label("seen_state")).where(referral.c[role] == agency)


def _stands_still(agency: str) -> Select[Any]:
    held = (standstill.c.grant_id == referral.c.grant_id, standstill.c.agency == agency)
    return select(literal(1)).select_from(standstill).where(*held).correlate(referral)


def _state_then() -> Any:
    """Return the state in which a referral stood still; its first, if it came later."""
    seen = or_(step.c.at <= standstill.c.since, step.c.number == 0)
    of = select(step.c.state).where(step.c.referral_id == referral.c.id, seen)
    return of.order_by(step.c.number.desc()).limit(1).correlate(referral, standstill).scalar_subquery()
