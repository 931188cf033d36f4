"""Erasing a survivor: one act, and final."""

from uuid import UUID

from services.consent.context import Context
from services.consent.handlers.grants.changes import changing
from services.consent.handlers.rights.statistics import withdraw_statistics
from services.consent.store import permissions, subjects


def erase(context: Context, subject: UUID) -> None:
    """Erase her: end every grant, destroy all her keys, and remove every way to find her. Cannot be undone."""
    with changing(context, subject) as change:
        change.end(permissions.live_grants(change.connection, subject), "erased")
        withdraw_statistics(change)
        permissions.forget_permissions(change.connection, subject)
        subjects.forget_subject(change.connection, subject)
        change.record("erased")
