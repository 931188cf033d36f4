"""New words in place of hers, for when somebody else may know them; her PIN, keys and card stay as they are."""

from services.common.errors import Problem
from services.consent.context import Context
from services.consent.handlers.accounts.sessions import Session, not_let_in, replacing
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.store import subjects


def new_passphrase(context: Context, session: Session) -> str:
    """Words that let her in, shown this once. The old ones are worth nothing and every other visit has ended with them."""
    with context.database.reading() as connection:
        row = subjects.get_subject(connection, session.subject)
    if row is None:
        raise not_let_in()
    # The slow hash comes before the transaction, which on SQLite holds up every other writer.
    words = context.secrets.new_passphrase(row.language)
    digest, now = context.secrets.passphrase_digest(words), context.clock.now()
    with replacing(context, session, row, "passphrase_digest", done_twice()) as connection:
        subjects.change_subject(connection, row.id, passphrase_digest=digest)
        subjects.end_sessions(connection, row.id, but=session.digest)
        ledger.append(connection, [Entry("words.replaced", row.id)], now)
    return words


def done_twice() -> Problem:
    """For the later of two at once: otherwise she could be shown words that are worth nothing already."""
    return Problem(409, "done-twice", "Your words were changed at this very moment. Please make new ones again.")
