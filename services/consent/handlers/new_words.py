"""New words in place of hers, for when somebody else may know them; her PIN, keys and card stay as they are."""

from services.common.errors import Problem
from services.consent import ledger
from services.consent.handlers.accounts import Session, not_let_in, replacing
from services.consent.ledger import Entry
from services.consent.room import Room
from services.consent.store import subjects


def new_words(room: Room, session: Session) -> str:
    """Words that let her in, shown this once. The old ones are worth nothing and every other visit has ended with them."""
    with room.database.reading() as connection:
        row = subjects.get_subject(connection, session.subject)
    if row is None:
        raise not_let_in()
    # The slow hash comes before the transaction, which on SQLite holds up every other writer.
    words = room.secrets.new_passphrase(row.language)
    digest, now = room.secrets.passphrase_digest(words), room.clock.now()
    with replacing(room, session, row, "passphrase_digest", done_twice()) as connection:
        subjects.change_subject(connection, row.id, passphrase_digest=digest)
        subjects.end_sessions(connection, row.id, but=session.digest)
        ledger.append(connection, [Entry("words.replaced", row.id)], now)
    return words


def done_twice() -> Problem:
    """For the later of two at once: otherwise she could be shown words that are worth nothing already."""
    return Problem(409, "done-twice", "Your words were changed at this very moment. Please make new ones again.")
