"""Restates her age group: people grow older, and an agency may have been wrong."""

from services.common.errors import not_found
from services.consent.context import Context
from services.consent.handlers.accounts.sessions import check_age
from services.consent.handlers.grants.changes import changing
from services.consent.handlers.grants.pending import may_be_told_anything, may_second_look
from services.consent.handlers.speakers import must_speak_for
from services.consent.speaking import Act, Speech
from services.consent.store import subjects
from services.consent.store.snapshots import read_snapshots


def restate(context: Context, agency: str, ppid: str, band: str) -> None:
    """Record her age group; raise 404 unless the agency may give her a second look, since an age decides where one is needed.

    Grants stay unchanged, and what waits goes on waiting.
    """
    check_age(band)
    with context.database.reading() as connection:
        subject = must_speak_for(context, connection, agency, ppid, Speech(Act.STATE_AGE))
    with changing(context, subject) as change:
        snapshot = read_snapshots(change.connection, context.roster, [subject], [agency]).of(subject, agency)
        fitting = {one.id for one in may_second_look(context, change.connection, subject)}
        if agency not in fitting or not may_be_told_anything(context, snapshot, agency):
            raise not_found()
        if change.row.age_band != band:
            subjects.change_subject(change.connection, subject, age_band=band)
            change.record("age.stated", agency, age_band=band)
