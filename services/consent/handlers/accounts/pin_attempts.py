"""Slowing down whoever has her words and guesses her PIN: looking and taking away go on, for her and in any case."""

from datetime import timedelta

from services.consent.context import Context
from services.consent.handlers.accounts import sessions
from services.consent.handlers.accounts.sessions import Session
from services.consent.rate_limit import slow_down
from services.consent.store import pin_attempts

FREE_TRIES = 20
"""Since the last right PIN, over all sessions."""
STEP = timedelta(minutes=1)
"""Between tries after that: a year and more for half of all PINs, and never a lock that somebody else could turn."""


def step_up(context: Context, session: Session, pin: str) -> None:
    """Take the PIN; after too many wrong ones, only one a minute."""
    with context.database.transaction() as connection:
        sessions.stay(connection, session.subject)
        # Counted before it is checked, so that guesses sent all at once are counted too.
        turn = pin_attempts.take_turn(connection, session.subject, context.clock.now(), FREE_TRIES, STEP)
    if not turn:
        raise slow_down(int(STEP.total_seconds()))
    sessions.step_up(context, session, pin)
    with context.database.transaction() as connection:
        pin_attempts.forget(connection, session.subject)
