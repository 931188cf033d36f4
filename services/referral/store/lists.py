"""Queries on the lists of an agency's own referrals."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, Select, case, literal, or_, select

from services.referral.domain import State
from services.referral.models import referral, standstill, step

AnyRow = Row[tuple[Any, ...]]


def list_of(
    connection: Connection, agency: str, role: str, state: str | None, after: int, limit: int
) -> Sequence[AnyRow]:
    """Return referrals on one side of which an agency is, in the order of commit, from just after a place in its list.

    `place` of a row is its place in that list. `seen_state` is the present state, or for an agency for which the referral
    stands still the one it was in then; `state` selects by it. `seen_since` tells since when the promise of that state runs.
    """
    place = referral.c[f"{role}_place"]
    # Two queries, so that each is answered from an index: few referrals stand still, and many move.
    moving = _of(agency, role, referral.c.state, referral.c.promise_since).where(~_stands_still(agency).exists())
    still = _of(agency, role, _then(step.c.state), _promise_then())
    still = still.join(standstill, standstill.c.grant_id == referral.c.grant_id).where(standstill.c.agency == agency)
    if state is not None:
        moving, still = moving.where(referral.c.state == state), still.where(_then(step.c.state) == state)
    found: list[AnyRow] = []
    for query in (moving, still):
        found += connection.execute(query.where(place > after).order_by(place).limit(limit)).all()
    return sorted(found, key=attrgetter("place"))[:limit]


def _of(agency: str, role: str, seen: Any, since: Any) -> Select[Any]:
    place = referral.c[f"{role}_place"].label("place")
    return select(referral, place, seen.label("seen_state"), since.label("seen_since")).where(
        referral.c[role] == agency
    )


def _stands_still(agency: str) -> Select[Any]:
    held = (standstill.c.grant_id == referral.c.grant_id, standstill.c.agency == agency)
    return select(literal(1)).select_from(standstill).where(*held).correlate(referral)


def _then(column: Any, *only: Any, first: bool = False) -> Any:
    """Return a column of the last step, or the first, that a referral had when it stood still; its very first, if later."""
    seen = or_(step.c.at <= standstill.c.since, step.c.number == 0)
    of = select(column).where(step.c.referral_id == referral.c.id, seen, *only)
    order = step.c.number if first else step.c.number.desc()
    return of.order_by(order).limit(1).correlate(referral, standstill).scalar_subquery()


def _promise_then() -> Any:
    """Return since when the promise ran that a referral had when it stood still; that to start runs from the first yes."""
    begun = _then(step.c.at, step.c.state == State.ACCEPTED, first=True)
    return case((_then(step.c.state) == State.ACCEPTED, begun), else_=_then(step.c.at))
