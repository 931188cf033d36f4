"""Queries on notices and on where they are pushed."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, delete, func, select, update

from services.common.database.inserts import upsert
from services.consent.models import notice, push_place

AnyRow = Row[tuple[Any, ...]]
OLDEST = (notice.c.made_at, notice.c.epoch, notice.c.id)
TIMES = ("made_at", "act_by", "acknowledge_by", "told_at", "acknowledged_at", "attested_at", "push_after")


def add_notices(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """Add notices; a second one for the same grant and epoch is an error."""
    if rows:
        connection.execute(notice.insert(), [dict(row) for row in rows])


def waiting_for(connection: Connection, agency: str, limit: int) -> Sequence[AnyRow]:
    """Return an agency's notices that it has not acknowledged, oldest first."""
    query = select(notice).where(notice.c.agency == agency, notice.c.acknowledged_at.is_(None))
    return connection.execute(query.order_by(*OLDEST).limit(limit)).all()


def told(connection: Connection, ids: Collection[UUID], now: datetime) -> None:
    """Record when notices first went to their agency."""
    unsaid = update(notice).where(notice.c.id.in_(ids), notice.c.told_at.is_(None))
    connection.execute(unsaid.values(told_at=now))


def acknowledge(connection: Connection, agency: str, ids: Collection[UUID], now: datetime) -> Sequence[AnyRow]:
    """Mark an agency's notices as acknowledged, drop the ppid there, and return those that were not acknowledged before."""
    waiting = update(notice).where(notice.c.agency == agency, notice.c.id.in_(ids), notice.c.acknowledged_at.is_(None))
    first_told = func.coalesce(notice.c.told_at, now, type_=notice.c.told_at.type)
    done = waiting.values(acknowledged_at=now, told_at=first_told, error=None, ppid=None)
    rows = connection.execute(done.returning(notice)).all()
    if about_the_erased := [row.id for row in rows if row.subject_id is None]:
        _empty(connection, notice.c.id.in_(about_the_erased))
    return rows


def keep_error(connection: Connection, agency: str, notice_id: UUID, error: str) -> None:
    """Record why an agency could not read a notice; it goes on waiting."""
    waiting = (notice.c.agency == agency, notice.c.id == notice_id, notice.c.acknowledged_at.is_(None))
    connection.execute(update(notice).where(*waiting).values(error=error))


def get_notice(connection: Connection, agency: str, notice_id: UUID) -> AnyRow | None:
    """Return one notice of an agency."""
    mine = (notice.c.agency == agency, notice.c.id == notice_id)
    return connection.execute(select(notice).where(*mine)).one_or_none()


def attest(connection: Connection, notice_id: UUID, done: str, now: datetime) -> bool:
    """Record what an agency attests; tell whether that is new."""
    other = (notice.c.id == notice_id, notice.c.attested.is_distinct_from(done))
    attested = update(notice).where(*other).values(attested=done, attested_at=now).returning(notice.c.subject_id)
    rows = connection.execute(attested).all()
    if rows and rows[0].subject_id is None:
        _empty(connection, notice.c.id == notice_id)
    return bool(rows)


def notices_about(connection: Connection, subject_id: UUID) -> Sequence[AnyRow]:
    """Return every notice about a survivor, newest first."""
    query = select(notice).where(notice.c.subject_id == subject_id)
    return connection.execute(query.order_by(*(column.desc() for column in OLDEST))).all()


def forget_subjects(connection: Connection, subject_ids: Collection[UUID]) -> None:
    """Untie notices from erased survivors. One that is not acknowledged keeps what its agency must still read."""
    connection.execute(update(notice).where(notice.c.subject_id.in_(subject_ids)).values(subject_id=None))
    _empty(
        connection, notice.c.subject_id.is_(None), notice.c.acknowledged_at.is_not(None), notice.c.grant_id.is_not(None)
    )


def forget_done(connection: Connection, due_before: datetime) -> None:
    """Remove acknowledged notices about the erased that were due before then: nobody waits for an attestation any more."""
    done = (notice.c.subject_id.is_(None), notice.c.acknowledged_at.is_not(None), notice.c.act_by < due_before)
    connection.execute(delete(notice).where(*done))


def _empty(connection: Connection, *about_the_erased: ColumnElement[bool]) -> None:
    """Keep of notices only what an attestation needs: their ids, agencies and days.

    Those that one act made have one time: to the microsecond, it would tell which agencies had helped the same person.
    """
    emptied: dict[str, object] = {"grant_id": None, "ppid": None, "purpose": "", "categories": []}
    for row in connection.execute(select(notice).where(*about_the_erased)).all():
        days = {name: _day(at) for name in TIMES if (at := getattr(row, name)) is not None}
        connection.execute(update(notice).where(notice.c.id == row.id).values(**emptied, **days))


def _day(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def set_push_place(connection: Connection, agency: str, url: str) -> None:
    """Store the URL to push an agency's notices to."""
    upsert(connection, push_place, [{"agency": agency, "url": url}])


def forget_push_place(connection: Connection, agency: str) -> None:
    """Stop pushing to an agency."""
    connection.execute(delete(push_place).where(push_place.c.agency == agency))


def to_push(connection: Connection, now: datetime, limit: int) -> Sequence[AnyRow]:
    """Return notices to push now, each with its agency's URL: the oldest of every agency first, then every second one."""
    query = select(notice, push_place.c.url).join(push_place, push_place.c.agency == notice.c.agency)
    due = query.where(notice.c.acknowledged_at.is_(None), notice.c.push_after <= now)
    turn = func.row_number().over(partition_by=notice.c.agency, order_by=OLDEST)
    return connection.execute(due.order_by(turn, *OLDEST).limit(limit)).all()


def push_again(connection: Connection, notice_id: UUID, after: datetime) -> None:
    """Count a failed push, and set when the next may be tried."""
    counted = {"push_tries": notice.c.push_tries + 1, "push_after": after}
    connection.execute(update(notice).where(notice.c.id == notice_id).values(**counted))


def leave_alone(connection: Connection, agency: str, until: datetime) -> None:
    """Delay all pushes to an agency until then."""
    sooner = (notice.c.agency == agency, notice.c.acknowledged_at.is_(None), notice.c.push_after < until)
    connection.execute(update(notice).where(*sooner).values(push_after=until))
