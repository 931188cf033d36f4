"""Papers she can carry: letters that say who supports her, good once, and a new revoke card in place of the old one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.common.errors import Fault, invalid, not_found
from services.common.roster import Agency
from services.consent.context import Context
from services.consent.credentials import new_code
from services.consent.handlers.accounts.sessions import hold_subject
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.store import personal_records, subjects

LETTER_TIME = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter to print; its code is shown this once."""

    agency: str
    code: str
    made_at: datetime
    valid_until: datetime


def write_letter(context: Context, subject: UUID, agency: str) -> Letter:
    """Make a letter that names an agency she is linked to, and nothing about her; raise 400."""
    now, code, name = context.clock.now(), new_code(), context.clock.new_id()
    with context.database.transaction() as connection:
        hold_subject(connection, subject)
        known = context.roster.find(connection, [agency]).get(agency)
        if agency not in subjects.links_of(connection, subject) or known is None or known.standing != "active":
            raise invalid(Fault("/agency", "No active agency that knows you.", "the id of one that does"))
        row = {
            "id": name,
            "subject_id": subject,
            "agency": agency,
            "digest": context.secrets.code_digest("letter", code),
        }
        personal_records.add_letter(connection, {**row, "made_at": now, "valid_until": now + LETTER_TIME})
        ledger.append(connection, [Entry("letter.made", subject, agency, {"letter": str(name)})], now)
    return Letter(known.name, code, now, now + LETTER_TIME)


def letters_of(context: Context, subject: UUID) -> Sequence[Any]:
    """Return her letters, newest first; their codes are not kept."""
    with context.database.reading() as connection:
        return personal_records.letters_of(connection, subject)


def supporters(context: Context, subject: UUID) -> Sequence[Agency]:
    """Return the active agencies that know her, any of which a letter may name."""
    with context.database.reading() as connection:
        links = subjects.links_of(connection, subject)
        return [agency for agency in context.roster.active(connection) if agency.id in links]


def end_letter(context: Context, subject: UUID, letter: UUID) -> None:
    """End a letter, so that its code works no more; raise 404."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        agency = personal_records.end_letter(connection, subject, letter, now)
        if agency is None:
            raise not_found()
        ledger.append(connection, [Entry("letter.ended", subject, agency, {"letter": str(letter)})], now)


def check_letter(context: Context, code: str) -> str | None:
    """Use a letter up and return the name of the agency in it; None if the letter is unknown, used, ended or expired."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = personal_records.use_letter(connection, context.secrets.code_digest("letter", code), now)
        known = context.roster.find(connection, [row.agency]).get(row.agency) if row else None
        if row is None or known is None or known.standing != "active":
            return None
        ledger.append(connection, [Entry("letter.used", row.subject_id, row.agency, {"letter": str(row.id)})], now)
    return known.name


def new_card(context: Context, subject: UUID) -> str:
    """Make a new code for her revoke card; the old one works no more."""
    code, now = new_code(), context.clock.now()
    with context.database.transaction() as connection:
        hold_subject(connection, subject)
        subjects.change_subject(connection, subject, revoke_digest=context.secrets.code_digest("revoke", code))
        ledger.append(connection, [Entry("card.replaced", subject)], now)
    return code
