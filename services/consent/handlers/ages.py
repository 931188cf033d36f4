"""Her age as a group, stated anew: people grow older, and somebody may have been wrong."""

from services.common.errors import not_found
from services.consent.handlers.accounts import check_age
from services.consent.handlers.changes import changing
from services.consent.handlers.waiting import may_be_told_anything, may_look
from services.consent.room import Room
from services.consent.store import subjects
from services.consent.store.snapshots import read_snapshots


def restate(room: Room, agency: str, ppid: str, band: str) -> None:
    """Say which age group she is in. Only an agency that may give a second look can: an age decides where one is needed.

    What she allowed stays as it is, and what waits goes on waiting.
    """
    check_age(band)
    with room.database.reading() as connection:
        subject = subjects.linked(connection, [(agency, ppid)]).get((agency, ppid))
    if subject is None:
        raise not_found()
    with changing(room, subject) as change:
        snapshot = read_snapshots(change.connection, room.roster, [subject], [agency]).of(subject, agency)
        fitting = {one.id for one in may_look(room, change.connection, subject)}
        if agency not in fitting or not may_be_told_anything(room, snapshot, agency):
            raise not_found()
        if change.row.age_band != band:
            subjects.change_subject(change.connection, subject, age_band=band)
            change.record("age.stated", agency, age_band=band)
