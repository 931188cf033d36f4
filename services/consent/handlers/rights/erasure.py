"""Erasing a survivor: one act, and final; and removing what only had to outlast it by a moment."""

from datetime import timedelta
from uuid import UUID

from services.consent import events
from services.consent.context import Context
from services.consent.handlers.grants.changes import changing
from services.consent.handlers.rights.statistics import withdraw_statistics
from services.consent.store import keys as key_store
from services.consent.store import notices, permissions, subjects

AT_ONCE = 100
ATTESTED_WITHIN = timedelta(days=30)
"""How long after the day by which an agency had to act it may still attest that it did."""


def erase(context: Context, subject: UUID) -> None:
    """Erase her: end every grant, destroy all her keys, and remove every way to find her. Cannot be undone."""
    with changing(context, subject) as change:
        grants = permissions.grants_of(change.connection, subject)
        change.end([grant for grant in grants if grant.ended_at is None], "erased")
        for grant in grants:
            if grant.ended_at is not None:
                # Told once more, with this reason: referrals under it no longer need to know which of them belong together.
                ended = events.grant_ended(context.clock, grant.id, grant.agency, "erased", grant.agency_epoch)
                change.events.append(ended)
        withdraw_statistics(change)
        # Before the grants, to which some of what this removes belongs.
        subjects.forget_subject(change.connection, subject)
        digests = [context.secrets.erased_grant(grant.id) for grant in grants]
        permissions.forget_permissions(change.connection, subject, digests)
        change.record("erased")


def forget_erased(context: Context) -> int:
    """Remove the tombstones of the erased, and notices about them that are done with; return the number of tombstones."""
    with context.database.transaction() as connection:
        gone = subjects.tombstones(connection, AT_ONCE)
        if gone:
            # Notices before survivors, in the order of a poll: otherwise the two could deadlock.
            notices.forget_subjects(connection, gone)
            subjects.remove_tombstones(connection, gone)
            key_store.forget_destroyed(connection, gone)
        notices.forget_done(connection, context.clock.now() - ATTESTED_WITHIN)
    return len(gone)
