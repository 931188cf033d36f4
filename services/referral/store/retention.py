"""Deletes what has been kept long enough: ended referrals, old entries of feeds, and grants under which nothing is left."""

from datetime import datetime

from sqlalchemy import Connection, delete, exists, select

from services.referral.domain import FINAL
from services.referral.models import envelope, feed_entry, grant_seen, referral, standstill, step


def delete_ended(connection: Connection, before: datetime) -> int:
    """Delete referrals that ended before then, with their steps; return how many there were."""
    ended = (referral.c.state.in_([state.value for state in FINAL]), referral.c.changed_at < before)
    for table in (envelope, step):
        connection.execute(delete(table).where(table.c.referral_id.in_(select(referral.c.id).where(*ended))))
    return connection.execute(delete(referral).where(*ended)).rowcount


def delete_entries(connection: Connection, before: datetime) -> None:
    """Delete the entries of feeds that are older; later ones keep their numbers."""
    connection.execute(delete(feed_entry).where(feed_entry.c.at < before))


def delete_grants(connection: Connection, before: datetime) -> None:
    """Delete what is kept of grants that ended, and of standstills that began, before then and have no referral left."""
    for table, grant, since in (
        (grant_seen, grant_seen.c.id, grant_seen.c.ended_at),
        (standstill, standstill.c.grant_id, standstill.c.since),
    ):
        left = exists().where(referral.c.grant_id == grant)
        connection.execute(delete(table).where(since < before, ~left))
