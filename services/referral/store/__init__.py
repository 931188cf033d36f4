"""Every query of the referral service."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, func, select, update

from services.common.database.inserts import insert_new, upsert
from services.referral.models import envelope, grant_seen, offered_service, referral, standstill, step

AnyRow = Row[tuple[Any, ...]]


def add_referral(connection: Connection, row: Mapping[str, object], sealed: str | None) -> AnyRow:
    """Add a referral, with its envelope unless it is withdrawn already; return its row."""
    kept = connection.execute(referral.insert().returning(referral), dict(row)).one()
    if sealed is not None:
        kept_for = {"referral_id": row["id"], "recipient": row["recipient"]}
        connection.execute(envelope.insert(), {**kept_for, "sealed": sealed})
    add_step(connection, str(row["id"]), str(row["state"]), None, row["changed_at"])
    return kept


def get_referral(connection: Connection, referral_id: str, *, lock: bool = False) -> AnyRow | None:
    """Return one referral; with `lock`, locked against change until the transaction ends."""
    query = select(referral).where(referral.c.id == referral_id)
    return connection.execute(query.with_for_update() if lock else query).one_or_none()


def change_referral(connection: Connection, referral_id: str, **values: object) -> AnyRow:
    """Change columns of a referral; return the changed row."""
    statement = update(referral).where(referral.c.id == referral_id).values(**values).returning(referral)
    return connection.execute(statement).one()


def note_opened(connection: Connection, referral_id: str, at: datetime) -> None:
    """Keep when a referral's envelope was opened first."""
    statement = update(referral).where(referral.c.id == referral_id, referral.c.opened_at.is_(None))
    connection.execute(statement.values(opened_at=at))


def add_step(
    connection: Connection, referral_id: str, state: str, reason: str | None, at: object, wait: str | None = None
) -> None:
    """Add to a referral's history."""
    number = select(func.count()).where(step.c.referral_id == referral_id).scalar_subquery()
    row = {"referral_id": referral_id, "state": state, "reason": reason, "wait": wait, "at": at}
    connection.execute(step.insert().values(**row, number=number))


def steps_of(connection: Connection, referral_id: str) -> Sequence[AnyRow]:
    """Return a referral's history, oldest first."""
    query = select(step).where(step.c.referral_id == referral_id).order_by(step.c.number)
    return connection.execute(query).all()


def remove_envelope(connection: Connection, referral_id: str) -> None:
    """Delete an envelope."""
    connection.execute(delete(envelope).where(envelope.c.referral_id == referral_id))


def inbox(connection: Connection, recipient: str, after: int, limit: int) -> Sequence[AnyRow]:
    """Return an agency's referrals that have an envelope, in the order of commit, from just after a place."""
    held = exists().where(standstill.c.grant_id == referral.c.grant_id, standstill.c.agency == recipient)
    query = select(referral, envelope.c.sealed, envelope.c.place).join(envelope)
    mine = query.where(envelope.c.recipient == recipient, envelope.c.place > after, ~held)
    return connection.execute(mine.order_by(envelope.c.place).limit(limit)).all()


def due(connection: Connection, now: datetime, limit: int) -> Sequence[AnyRow]:
    """Return referrals of which a late promise has to be told by now, locked; those that another process holds are left."""
    query = select(referral).where(referral.c.due_at <= now).order_by(referral.c.due_at).limit(limit)
    return connection.execute(query.with_for_update(skip_locked=True)).all()


def under_grant(connection: Connection, grant: str) -> Sequence[AnyRow]:
    """Return every referral under a grant, locked against change."""
    query = select(referral).where(referral.c.grant_id == grant).order_by(referral.c.id)
    return connection.execute(query.with_for_update()).all()


def stand_still(connection: Connection, grant: str, agency: str, since: datetime) -> None:
    """Let the referrals under a grant stand still for an agency; an earlier time stays."""
    insert_new(connection, standstill, [{"grant_id": grant, "agency": agency, "since": since}])


def move_again(connection: Connection, grant: str, agency: str) -> None:
    """Let an agency follow the referrals under a grant again."""
    statement = delete(standstill).where(standstill.c.grant_id == grant, standstill.c.agency == agency)
    connection.execute(statement)


def still_since(connection: Connection, grant: str, agency: str) -> datetime | None:
    """Return since when the referrals under a grant stand still for an agency, None if they do not."""
    query = select(standstill.c.since).where(standstill.c.grant_id == grant, standstill.c.agency == agency)
    return connection.scalar(query)


def still_for(connection: Connection, grant: str) -> set[str]:
    """Return the agencies for which the referrals under a grant stand still."""
    return set(connection.scalars(select(standstill.c.agency).where(standstill.c.grant_id == grant)))


def hold_grant(connection: Connection, grant: str) -> bool:
    """Lock a grant until the transaction ends; return whether it is known to have ended."""
    insert_new(connection, grant_seen, [{"id": grant, "ended_at": None, "erased": False}])
    query = select(grant_seen.c.ended_at).where(grant_seen.c.id == grant).with_for_update()
    return connection.execute(query).scalar_one() is not None


def end_grant(connection: Connection, grant: str, at: datetime) -> None:
    """Keep that a grant has ended, also for referrals under it that have yet to arrive."""
    hold_grant(connection, grant)
    connection.execute(update(grant_seen).where(grant_seen.c.id == grant).values(ended_at=at))


def erase_grant(connection: Connection, grant: str) -> None:
    """Keep that a grant ended because she was erased; cut the referrals under it from each other and from her pseudonym."""
    connection.execute(update(grant_seen).where(grant_seen.c.id == grant).values(erased=True))
    _keep_still(connection, grant)
    cut = update(referral).where(referral.c.grant_id == grant)
    connection.execute(cut.values(grant_id=referral.c.id, statistics=None))


def _keep_still(connection: Connection, grant: str) -> None:
    """Let each referral under a grant stand still by itself, as of the last that its side sees: no common time is left."""
    query = delete(standstill).where(standstill.c.grant_id == grant).returning(standstill.c.agency, standstill.c.since)
    still = {row.agency: row.since for row in connection.execute(query)}
    for row in under_grant(connection, grant) if still else ():
        times = [each.at for each in steps_of(connection, row.id)]
        for agency in still.keys() & {row.sender, row.recipient}:
            seen = [at for at in (*times, row.opened_at) if at and at <= still[agency]] or times[:1]
            stand_still(connection, row.id, agency, max(seen))


def is_erased(connection: Connection, grant: str) -> bool:
    """Return whether a grant is known to have ended because she was erased."""
    return connection.scalar(select(grant_seen.c.erased).where(grant_seen.c.id == grant)) is True


def forget_pseudonyms(connection: Connection, names: Sequence[str]) -> None:
    """Remove statistics pseudonyms from all referrals."""
    connection.execute(update(referral).where(referral.c.statistics.in_(names)).values(statistics=None))


def forget_erased(connection: Connection, ended_before: datetime) -> None:
    """Remove what was kept of grants that ended before then because she was erased."""
    gone = (grant_seen.c.erased, grant_seen.c.ended_at < ended_before)
    connection.execute(delete(grant_seen).where(*gone))


def keep_service(connection: Connection, row: Mapping[str, object]) -> None:
    """Keep what an agency says it offers; an older statement never replaces a newer one."""
    upsert(connection, offered_service, [row], newer="as_of")
