"""Requests to correct: she asks an agency to correct a kind of information; the agency says when it is done."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from services.common.errors import Fault, invalid, not_found
from services.consent.context import Context
from services.consent.handlers.accounts.sessions import hold_subject
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.store import permissions, personal_records


def ask_to_correct(context: Context, subject: UUID, grant: UUID, category: str) -> UUID:
    """Ask the agency of a grant, also of an ended one, to correct one category; return the id. Raises 404 or 400.

    An equal request that is not yet done is returned instead: a button was pressed twice.
    """
    name, now = context.clock.new_id(), context.clock.now()
    with context.database.transaction() as connection:
        hold_subject(connection, subject)
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
    """Return her requests to correct, newest first."""
    with context.database.reading() as connection:
        return personal_records.corrections_of(connection, subject)


def waiting_for(context: Context, agency: str, limit: int) -> Sequence[Any]:
    """Return the requests to correct that an agency has not yet done, oldest first."""
    with context.database.reading() as connection:
        return personal_records.corrections_for(connection, agency, limit)


def corrected(context: Context, agency: str, correction: UUID) -> None:
    """Record that the agency has corrected something, also in her ledger; raise 404."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = personal_records.finish_correction(connection, agency, correction, now)
        if row is None:
            raise not_found()
        told = {"correction": str(correction), "grant": str(row.grant_id), "category": row.category}
        ledger.append(connection, [Entry("correction.done", row.subject_id, agency, told)], now)
