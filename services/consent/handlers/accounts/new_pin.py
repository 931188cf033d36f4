"""A new PIN in place of hers, for when somebody else may know it; her words, keys and card stay as they are."""

from services.common.errors import Problem
from services.consent.context import Context
from services.consent.handlers.accounts.sessions import Session, check_pin, not_let_in, replacing
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.store import subjects


def new_pin(context: Context, session: Session, pin: str) -> None:
    """From now on this PIN alone lets her widen; in every other visit the old one counts no more.

    She always chooses it, since one that is made for her could be lost on a bad line, and nothing would replace it. How
    often somebody guessed stays counted, here and in other visits: only a right PIN at the door begins that anew.
    """
    check_pin(pin)
    with context.database.reading() as connection:
        row = subjects.get_subject(connection, session.subject)
    if row is None:
        raise not_let_in()
    # The slow hash comes before the transaction, which on SQLite holds up every other writer.
    kept, now = context.secrets.pin_hash(pin), context.clock.now()
    with replacing(context, session, row, "pin_hash", done_twice()) as connection:
        subjects.change_subject(connection, row.id, pin_hash=kept)
        subjects.end_step_ups(connection, row.id, but=session.digest)
        ledger.append(connection, [Entry("pin.replaced", row.id)], now)


def done_twice() -> Problem:
    """For the later of two at once: otherwise she could be told of a PIN that is worth nothing already."""
    return Problem(
        409, "pin-done-twice", "Your PIN was changed at this very moment. If it is not this one, set it again."
    )
