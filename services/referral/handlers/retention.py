"""Deletes what both sides of a referral need no more."""

from services.common.retention import KEPT
from services.referral.context import Context
from services.referral.store import retention


def delete_old(context: Context) -> int:
    """Delete what ended `KEPT` ago: referrals, grants without any, entries of feeds. Return how many referrals it were."""
    before = context.clock.now() - KEPT
    with context.database.transaction() as connection:
        deleted = retention.delete_ended(connection, before)
    with context.database.transaction() as connection:
        retention.delete_entries(connection, before)
        retention.delete_grants(connection, before)
    return deleted
