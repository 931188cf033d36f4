"""Whether ledger and keys are as they should be, for `fireweed doctor`: both are kept so by the worker."""

from dataclasses import dataclass
from datetime import timedelta

from services.consent.handlers.rotation import ROTATE_AFTER
from services.consent.room import Room
from services.consent.store import keys, tree

LATE = timedelta(minutes=1)
ROTATION_LATE = ROTATE_AFTER + timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a look at the database tells."""

    ledger_is_signed: bool
    keys_are_young: bool


def standing(room: Room) -> Standing:
    """Whether every line older than a minute is in a signed tree, and the wrapping key no older than a day or so."""
    now, newest = room.clock.now(), room.keys.newest()
    with room.database.reading() as connection:
        oldest = tree.oldest_waiting(connection)
        last = tree.newest_checkpoint(connection)
        seen = keys.key_seen(connection, newest)
        behind = tree.is_unsigned(connection) and (last is None or last.made_at < now - LATE)
    waits_long = oldest is not None and oldest < now - LATE
    return Standing(not (waits_long or (behind and oldest is None)), seen is None or seen > now - ROTATION_LATE)
