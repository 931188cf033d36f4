"""Slowing down whoever has her words and guesses her PIN: looking and taking away go on, for her and in any case."""

from datetime import timedelta

from services.consent.handlers import accounts
from services.consent.handlers.accounts import Session
from services.consent.patience import slow_down
from services.consent.room import Room
from services.consent.store import cautions

FREE_TRIES = 20
"""Since the last right PIN, over all sessions."""
STEP = timedelta(minutes=1)
"""Between tries after that: a year and more for half of all PINs, and never a lock that somebody else could turn."""


def step_up(room: Room, session: Session, pin: str) -> None:
    """Take the PIN; after too many wrong ones, only one a minute."""
    with room.database.transaction() as connection:
        accounts.stay(connection, session.subject)
        # Counted before it is checked, so that guesses sent all at once are counted too.
        turn = cautions.take_turn(connection, session.subject, room.clock.now(), FREE_TRIES, STEP)
    if not turn:
        raise slow_down(int(STEP.total_seconds()))
    accounts.step_up(room, session, pin)
    with room.database.transaction() as connection:
        cautions.forget(connection, session.subject)
