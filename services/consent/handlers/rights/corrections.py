"""She asks an agency to put right what it has of hers; the agency sees which kind of thing, and says when it is done."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from services.common.errors import Fault, invalid, not_found
from services.consent.context import Context
from services.consent.handlers.accounts.sessions import stay
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.store import permissions, personal_records


def ask_to_correct(context: Context, subject: UUID, grant: UUID, category: str) -> UUID:
    """Ask the agency of a grant, also of one that has ended, to put one kind of information right.

    The same, asked again before the agency has seen to it, is the same question: a button was pressed twice.
    """
    name, now = context.clock.new_id(), context.clock.now()
    with context.database.transaction() as connection:
        stay(connection, subject)
        row = permissions.get_grant(connection, grant)
        if row is None or row.subject_id != subject:
            raise not_found()
        if category not in row.categories:
            raise invalid(Fault("/category", "Not one of what you shared.", ", ".join(row.categories)))
        for same in personal_records.corrections_of(connection, subject):
            if (same.grant_id, same.category, same.done_at) == (grant, category, None):
                earlier: UUID = same.id
                return earlier
        asked = {"id": name, "subject_id": subject, "grant_id": grant, "agency": row.agency}
        personal_records.add_correction(connection, {**asked, "category": category, "asked_at": now})
        told = {"correction": str(name), "grant": str(grant), "category": category}
        ledger.append(connection, [Entry("correction.asked", subject, row.agency, told)], now)
    return name


def asked_by(context: Context, subject: UUID) -> Sequence[Any]:
    """What she asked to be put right, newest first."""
    with context.database.reading() as connection:
        return personal_records.corrections_of(connection, subject)


def waiting_for(context: Context, agency: str, limit: int) -> Sequence[Any]:
    """What an agency has been asked to put right and has not seen to, oldest first."""
    with context.database.reading() as connection:
        return personal_records.corrections_for(connection, agency, limit)


def corrected(context: Context, agency: str, correction: UUID) -> None:
    """The agency says that it is done; she can read it."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = personal_records.finish_correction(connection, agency, correction, now)
        if row is None:
            raise not_found()
        told = {"correction": str(correction), "grant": str(row.grant_id), "category": row.category}
        ledger.append(connection, [Entry("correction.done", row.subject_id, agency, told)], now)
