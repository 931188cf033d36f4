"""Her preferences as her pages need them: her language, and the names of agencies, also of those that have left."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from services.common.errors import Fault, invalid, not_found
from services.consent.context import Context
from services.consent.credentials import WORD_LISTS
from services.consent.handlers.accounts.sessions import hold_subject
from services.consent.store import subjects


def language_of(context: Context, subject: UUID) -> str:
    """Return the language that was set last; raise 404."""
    with context.database.reading() as connection:
        row = subjects.get_subject(connection, subject)
    if row is None:
        raise not_found()
    return str(row.language)


def set_language(context: Context, subject: UUID, language: str) -> None:
    """Set her language, which is also that of privacy notices that she agrees to; raise 400 for another code."""
    if language not in WORD_LISTS:
        raise invalid(Fault("/language", "Not one of the languages here.", ", ".join(WORD_LISTS)))
    with context.database.transaction() as connection:
        hold_subject(connection, subject)
        subjects.change_subject(connection, subject, language=language)


def names(context: Context, agencies: Iterable[str]) -> Mapping[str, str]:
    """Return the names of agencies by id, whatever their standing."""
    with context.database.reading() as connection:
        return {agency.id: agency.name for agency in context.roster.find(connection, sorted(set(agencies))).values()}
