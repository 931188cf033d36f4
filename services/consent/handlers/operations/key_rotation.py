"""Key rotation: wraps live keys anew, then destroys the old key-encryption key, and with it all copies of destroyed keys.

Killed at any point, it has lost nothing: a key-encryption key is destroyed only when no live key needs it, and the next
rotation destroys whatever this one did not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Table

from services.common.database.advisory_locks import sole
from services.common.errors import Transient, unavailable
from services.consent.context import Context
from services.consent.key_encryption import KeyGone
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.locks import Busy, as_busy
from services.consent.store import keys as store

ROTATE_AFTER = timedelta(hours=23)
"""Less than a day, so that a rotation is done within the day."""
BATCH = 500
_NAME = "consent key rotation"
Told = Callable[[int, int], None]


class KeyLost(Transient):
    """A live key cannot be opened: nothing may be destroyed before an operator has looked."""


class StillWrapping(Transient):
    """An act that may be wrapping with an older key does not end: nothing may be destroyed before it has."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """Result of a rotation: the key that wraps now, how many keys it wrapped anew, which older ones it destroyed."""

    number: int
    rewrapped: int
    destroyed: tuple[int, ...]


def rotate_if_due(context: Context) -> Rotation | None:
    """Rotate once a day, soon after an erasure, and when an earlier rotation was cut short; return None otherwise."""
    if not _due(context):
        return None
    with sole(context.database, _NAME) as alone:
        return rotate(context) if alone() and _due(context) else None


def rotate_now(context: Context, told: Told) -> Rotation:
    """Rotate whether or not it is due; raise 503 while another process does so."""
    with sole(context.database, _NAME) as alone:
        if not alone():
            raise unavailable("Another process is rotating the keys just now.")
        return rotate(context, told)


def rotate(context: Context, told: Told = lambda _done, _of: None) -> Rotation:
    """Make a key, wrap every live key with it, check that it opens them all, destroy the older ones.

    Several rotations at once do no harm, since a live key only ever moves to a greater number, under its row's lock.
    """
    if len(context.keys.numbers()) > 1:
        # An earlier rotation was cut short, perhaps by a lost key: then each try would leave one more useless key.
        _verify_all(context, 0)
    number, waiting = _next_key(context)
    done = _rewrap_all(context, number, lambda so_far: told(so_far, waiting))
    _verify_all(context, number)
    destroyed = tuple(older for older in context.keys.numbers() if older < number)
    for older in destroyed:
        context.keys.destroy(older)
    now = context.clock.now()
    with context.database.transaction() as connection:
        store.note_key(connection, number, now)
        store.note_destroyed(connection, number, now)
        ledger.append(connection, [Entry("keys.rotated", None, None, {"number": number})], now)
    return Rotation(number, done, destroyed)


def _next_key(context: Context) -> tuple[int, int]:
    """Make a key once no transaction wraps with an older one; return its number, and how many keys wait for it."""
    try:
        with context.database.transaction() as connection:
            with as_busy():
                store.wait_for_wrapping(connection)
            return context.keys.make_next(), store.count_live(connection)
    except Busy as error:
        raise StillWrapping("an act that may wrap keys has not ended for seconds") from error


def _due(context: Context) -> bool:
    newest, now = context.keys.newest(), context.clock.now()
    numbers = context.keys.numbers()
    with context.database.reading() as connection:
        seen = store.key_seen(connection, newest)
        erased = store.erased_under(connection, numbers[0])
    if seen is None:
        with context.database.transaction() as connection:
            store.note_key(connection, newest, now)
    return erased or len(numbers) > 1 or (seen is not None and seen + ROTATE_AFTER <= now)


def _rewrap_all(context: Context, number: int, told: Callable[[int], None]) -> int:
    done = 0
    for table in store.LIVE:
        while some := _rewrap_some(context, table, number):
            done += some
            told(done)
    return done


def _rewrap_some(context: Context, table: Table, number: int) -> int:
    with context.database.transaction() as connection:
        rows = store.stale_keys(connection, table, number, BATCH)
        store.rewrap(connection, table, number, {row.name: _wrapped_anew(context, row, number) for row in rows})
    return len(rows)


def _wrapped_anew(context: Context, row: Any, number: int) -> bytes:
    secret = _opened(context, row)
    wrapped = context.keys.wrap(number, secret)
    if context.keys.unwrap(number, wrapped) != secret:
        raise KeyLost(f"key-encryption key {number} does not open what it wraps")
    return wrapped


def _verify_all(context: Context, number: int) -> None:
    """Read every live key back as it was committed, and open it, page by page; raise `KeyLost`."""
    for table in store.LIVE:
        after: UUID | None = None
        while True:
            with context.database.reading() as connection:
                rows = store.live_keys(connection, table, after, BATCH)
            if not rows:
                break
            for row in rows:
                if row.number < number:
                    raise KeyLost(f"something is still wrapped with key-encryption key {row.number}")
                _opened(context, row)
            after = rows[-1].name


def _opened(context: Context, row: Any) -> bytes:
    try:
        return context.keys.unwrap(row.number, row.wrapped)
    except KeyGone as error:
        raise KeyLost(f"a live key cannot be opened with key-encryption key {row.number}") from error
