"""Slows down guesses at a PIN by somebody who has her passphrase; reading and revoking go on in any case.

After twenty tries since the last right PIN there is one turn a minute, for all sessions together: at most 20 + 1,440
guesses a day, however many sessions somebody opens. Sessions take the turns in rotation, so that nobody who guesses
without pause keeps her from a turn. A session waits while one that used a turn longer ago, or none, asks for it.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from services.consent.context import Context
from services.consent.handlers.accounts import sessions
from services.consent.handlers.accounts.sessions import Session
from services.consent.rate_limit import slow_down
from services.consent.store import pin_attempts

FREE_TRIES = 20
"""Tries since the last right PIN, over all sessions, that need not wait."""
STEP = timedelta(minutes=1)
"""Time between turns after that: guessing half of all PINs takes about a year, and nobody can lock her out."""
HELD = 2 * STEP
"""How long after it last asked a session keeps its place: she is told to come back in a minute."""
KNOWN_LANE = -1
"""The lane of all sessions that a passkey opened or in which her PIN was right; other lanes are of addresses."""
_NEVER = datetime.min.replace(tzinfo=UTC)


def step_up(context: Context, session: Session, pin: str, lane: int = 0) -> None:
    """Step the session up with her PIN; after too many wrong ones, raise 429 for a try out of turn.

    `lane` is the small number of the caller's address. Turns go round the lanes first, and within a lane round its
    sessions: many sessions from one address have no more turns than one.
    """
    lane, now = KNOWN_LANE if session.known else lane, context.clock.now()
    with context.database.transaction() as connection:
        sessions.hold_subject(connection, session.subject)
        # Counted before it is checked, so that guesses sent all at once are counted too.
        turn = _turn(connection, session, lane, now)
    if not turn:
        raise slow_down(int(STEP.total_seconds()))
    sessions.step_up(context, session, pin)
    with context.database.transaction() as connection:
        pin_attempts.forget(connection, session.subject)


def _turn(connection: Connection, session: Session, lane: int, now: datetime) -> bool:
    """Tell whether the session may try a PIN now, and count the try; otherwise let the session wait."""
    turns = pin_attempts.turns_of(connection, session.subject, now)
    pin_attempts.wait(connection, session.digest, lane, now, now - HELD)
    waiting = pin_attempts.waiting(connection, session.subject, now - HELD)
    mine = next((row for row in waiting if row.digest == session.digest), None)
    if mine is None:
        raise sessions.not_let_in()
    if turns.tries >= FREE_TRIES and (
        turns.tried_at > now - STEP or any(_place(row) < _place(mine) for row in waiting)
    ):
        return False
    pin_attempts.take_turn(connection, session.subject, session.digest, lane, now)
    return True


def _place(row: Any) -> tuple[datetime, int, datetime]:
    """Return the place of a waiting session: its lane's last turn, then its own tries, then when it began to wait."""
    return row.used_at or _NEVER, row.pin_tries, row.pin_asked_at
