"""Replaces her passphrase or her PIN, for when somebody else may know it; all her other ways in stay."""

from services.common.errors import Problem
from services.consent.context import Context
from services.consent.handlers.accounts.sessions import Session, check_pin, not_let_in, replacing
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.store import subjects


def new_passphrase(context: Context, session: Session) -> str:
    """Replace her passphrase, end her other sessions and return the new one, which is shown this once.

    Raises a 409 problem if it was replaced at the same moment, and 401 or 403 if the session may not do this any more.
    """
    row = _subject(context, session)
    # The slow hash comes before the transaction, which on SQLite holds up every other writer.
    passphrase = context.secrets.new_passphrase(row.language)
    digest, now = context.secrets.passphrase_digest(passphrase), context.clock.now()
    with replacing(context, session, row, "passphrase_digest", passphrase_changed()) as connection:
        subjects.change_subject(connection, row.id, passphrase_digest=digest)
        subjects.end_sessions(connection, row.id, but=session.digest)
        ledger.append(connection, [Entry("words.replaced", row.id)], now)
    return passphrase


def new_pin(context: Context, session: Session, pin: str) -> None:
    """Replace her PIN; in her other sessions the PIN has to be given again.

    She always chooses it: one made for her could be lost on a bad line, and nothing would replace it. Wrong guesses stay
    counted, here and in other sessions: only a step-up with the right PIN clears them. Raises like `new_passphrase`, and a
    400 problem for a malformed PIN.
    """
    check_pin(pin, "/new_pin")
    row = _subject(context, session)
    # The slow hash comes before the transaction, which on SQLite holds up every other writer.
    kept, now = context.secrets.pin_hash(pin), context.clock.now()
    with replacing(context, session, row, "pin_hash", pin_changed()) as connection:
        subjects.change_subject(connection, row.id, pin_hash=kept)
        subjects.end_step_ups(connection, row.id, but=session.digest)
        ledger.append(connection, [Entry("pin.replaced", row.id)], now)


def passphrase_changed() -> Problem:
    """Return the 409 problem for the later of two replacements at once: it must not show her a void passphrase."""
    return Problem(409, "done-twice", "Your words were changed at this very moment. Please make new ones again.")


def pin_changed() -> Problem:
    """Return the 409 problem for the later of two replacements at once: it must not confirm a PIN that is void."""
    return Problem(
        409, "pin-done-twice", "Your PIN was changed at this very moment. If it is not this one, set it again."
    )


def _subject(context: Context, session: Session) -> subjects.SubjectRow:
    with context.database.reading() as connection:
        row = subjects.get_subject(connection, session.subject)
    if row is None:
        raise not_let_in()
    return row
