"""Slows down guesses at a PIN by somebody who has her passphrase; reading and revoking go on in any case."""

from datetime import timedelta

from services.consent.context import Context
from services.consent.handlers.accounts import sessions
from services.consent.handlers.accounts.sessions import Session
from services.consent.rate_limit import slow_down
from services.consent.store import pin_attempts

FREE_TRIES = 20
"""Tries since the last right PIN, over all sessions, that need not wait."""
STEP = timedelta(minutes=1)
"""Time between tries after that: guessing half of all PINs takes about a year, and nobody can lock her out."""


def step_up(context: Context, session: Session, pin: str) -> None:
    """Step the session up with her PIN; after too many wrong ones, raise 429 for all but one try a minute."""
    with context.database.transaction() as connection:
        sessions.hold_subject(connection, session.subject)
        # Counted before it is checked, so that guesses sent all at once are counted too.
        turn = pin_attempts.take_turn(connection, session.subject, context.clock.now(), FREE_TRIES, STEP)
    if not turn:
        raise slow_down(int(STEP.total_seconds()))
    sessions.step_up(context, session, pin)
    with context.database.transaction() as connection:
        pin_attempts.forget(connection, session.subject)
