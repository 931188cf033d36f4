"""Checks ledger and keys for `fireweed doctor`; the worker keeps them sound as long as nothing is lost."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Table

from services.consent.context import Context
from services.consent.handlers.operations.key_rotation import ROTATE_AFTER
from services.consent.store import keys, ledger_tree

LATE = timedelta(minutes=1)
ROTATION_LATE = ROTATE_AFTER + timedelta(hours=2)
PAGE = 500


@dataclass(frozen=True, slots=True)
class Soundness:
    """Result of the checks on the database."""

    ledger_is_signed: bool
    keys_are_young: bool
    keys_open: bool


def soundness(context: Context) -> Soundness:
    """Tell whether entries older than a minute are in a signed tree, keys are rotated in time, and live keys open."""
    now = context.clock.now()
    with context.database.reading() as connection:
        oldest = ledger_tree.oldest_waiting(connection)
        last = ledger_tree.newest_checkpoint(connection)
        behind = ledger_tree.is_unsigned(connection) and (last is None or last.made_at < now - LATE)
    waits_long = oldest is not None and oldest < now - LATE
    signed = not (waits_long or (behind and oldest is None))
    return Soundness(signed, _keys_are_young(context, now), all(_opens(context, table) for table in keys.LIVE))


def _keys_are_young(context: Context, now: datetime) -> bool:
    """Tell whether the oldest key is young: a rotation that cannot end leaves it, however new the newest key is."""
    numbers = context.keys.numbers()
    with context.database.reading() as connection:
        seen = keys.key_seen(connection, numbers[0]) if numbers else None
    return seen is None or seen > now - ROTATION_LATE


def _opens(context: Context, table: Table) -> bool:
    after: UUID | None = None
    while True:
        with context.database.reading() as connection:
            names = [row.name for row in keys.live_keys(connection, table, after, PAGE)]
            if keys.LOST in keys.unwrapped(connection, context.keys, table, names).values():
                return False
        if not names:
            return True
        after = names[-1]
