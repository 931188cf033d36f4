"""Second looks: an agency sees what waits for it, and answers yes or no; a yes makes the grant."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from services.common.errors import not_found
from services.consent.context import Context
from services.consent.handlers.grants import drafts, grants
from services.consent.handlers.grants.changes import Change, changing
from services.consent.handlers.grants.grants import Wish
from services.consent.handlers.grants.pending import may_be_told
from services.consent.speaking import Act, Speech, may_speak
from services.consent.store import pending_grants, subjects, texts
from services.consent.store.snapshots import Snapshots, read_snapshots


def second_looks_for(context: Context, agency: str) -> list[tuple[Any, str]]:
    """Return the pending grants that wait for an agency, each with its ppid for the survivor."""
    with context.database.reading() as connection:
        rows = pending_grants.waits_for(connection, agency, context.clock.now())
        owners = {row.subject_id for row in rows}
        names = subjects.ppids(connection, agency, owners)
        snapshots = read_snapshots(connection, context.roster, owners, [agency])
    return [(row, names[row.subject_id]) for row in rows if _may_see(context, snapshots, row, names)]


def give_second_look(context: Context, agency: str, name: UUID, *, agree: bool) -> None:
    """Answer a pending grant; a yes makes a grant of exactly what she wished, under the same id. Raises 404."""
    with context.database.reading() as connection:
        seen = pending_grants.get_wait(connection, name, agency, context.clock.now())
    if seen is None:
        raise not_found()
    with changing(context, seen.subject_id) as change:
        # Read again under her lock: she may have taken it back, or another may have answered, since.
        waits = pending_grants.get_wait(change.connection, name, agency, change.now)
        snapshots = read_snapshots(change.connection, context.roster, [change.subject], [agency])
        # She may have unlinked the agency since it was asked.
        names = subjects.ppids(change.connection, agency, [change.subject])
        if waits is None or not _may_see(context, snapshots, waits, names):
            raise not_found()
        outcome = "agreed" if agree else "declined"
        pending_grants.end_waits(change.connection, change.subject, outcome, change.now, pending_grants.named(name))
        change.record("look.ended", agency, waiting=str(name), outcome=outcome)
        if agree:
            grants.give_after_second_look(change, _wished(change, waits), name)
        texts.forget_drafts(change.connection, change.now, change.subject)


def _wished(change: Change, waits: Any) -> Wish:
    """Return exactly what she wished; where she was bound to the texts of a request, these."""
    wish = Wish(waits.agency, waits.purpose, waits.categories, waits.days)
    if waits.only_this_of is None:
        return wish
    read = drafts.read(change.context, change.connection, [waits.only_this_of]).get(waits.only_this_of, {})
    return replace(wish, texts={category: read[category] for category in waits.categories if category in read})


def _may_see(context: Context, snapshots: Snapshots, row: Any, names: Mapping[UUID, str]) -> bool:
    """Tell whether her permissions let the agency that looks know of this now; `names` are its ppids."""
    agency = row.second_look_by
    snapshot, wanted = snapshots.of(row.subject_id, agency), frozenset(row.categories)
    speech = Speech(Act.GIVE_SECOND_LOOK, row.purpose, wanted)
    may_answer = may_speak(snapshot, agency, speech, context.policy, linked=row.subject_id in names) == wanted
    return may_answer and may_be_told(context, snapshot, agency, row.purpose, row.categories)
