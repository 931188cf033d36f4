"""Finds the survivor whom an agency would speak for, or answers the one 404: the same for every reason why it may not."""

from uuid import UUID

from sqlalchemy import Connection

from services.common.errors import not_found
from services.consent.context import Context
from services.consent.speaking import Speech, may_speak
from services.consent.store import subjects
from services.consent.store.snapshots import read_snapshots

NOBODY = UUID(int=0)


def spoken_for(context: Context, connection: Connection, agency: str, ppid: str, speech: Speech) -> UUID | None:
    """Return the survivor behind a ppid if the agency may say all of this about her now, else None.

    The same rows are asked for whether the agency is linked to her or not, so that the time taken tells nothing.
    """
    subject = subjects.linked(connection, [(agency, ppid)]).get((agency, ppid))
    snapshots = read_snapshots(connection, context.roster, [subject or NOBODY], [agency])
    snapshot = snapshots.of(subject or NOBODY, agency)
    allowed = may_speak(snapshot, agency, speech, context.policy, linked=subject is not None)
    return subject if allowed == speech.categories else None


def must_speak_for(context: Context, connection: Connection, agency: str, ppid: str, speech: Speech) -> UUID:
    """Return the survivor behind a ppid; raise the one 404 where the agency may not say all of this about her now."""
    subject = spoken_for(context, connection, agency, ppid, speech)
    if subject is None:
        raise not_found()
    return subject
