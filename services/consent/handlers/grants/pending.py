"""Pending grants: what a young person would allow waits for a second look, and is not a grant until then."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import product
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection

from services.common.errors import Fault, invalid
from services.common.roster import Agency
from services.consent.context import Context
from services.consent.domain import Grant, Recipient, Request, Snapshot, decide
from services.consent.handlers.grants.changes import Change
from services.consent.store import pending_grants, subjects
from services.consent.store.snapshots import read_snapshots


def wait(change: Change, row: dict[str, Any], named: str | None) -> UUID:
    """Make a pending grant, for the agency that she named or that registered her to look at; return its id.

    Raises 400 unless that agency may give the second look. An equal one that still waits is returned instead.
    """
    second_look_by = named or change.row.advocate
    _check(change, second_look_by, row["agency"])
    name, now = change.context.clock.new_id(), change.now
    for same in pending_grants.waits_of(change.connection, change.subject):
        told = {column: getattr(same, column) for column in row}
        if told == row and same.second_look_by == second_look_by and same.open_until > now:
            waits: UUID = same.id
            return waits
    times = {"asked_at": now, "open_until": now + change.context.duty_rules.second_look_time}
    pending_grants.add_wait(
        change.connection, {**row, **times, "id": name, "subject_id": change.subject, "second_look_by": second_look_by}
    )
    change.record("look.asked", second_look_by, waiting=str(name), **{"for": row["agency"]})
    return name


def take_back(change: Change, *only: ColumnElement[bool]) -> Sequence[Any]:
    """Withdraw pending grants, all or those that match; return them."""
    ended = pending_grants.end_waits(change.connection, change.subject, "taken_back", change.now, *only)
    for row in ended:
        change.record("look.ended", row.second_look_by, waiting=str(row.id), outcome="taken_back")
    return ended


def waits_of(context: Context, subject: UUID, *, past: bool = False) -> list[tuple[Any, str]]:
    """Return her pending grants, each with the reason in her language; with `past`, also those that have ended."""
    with context.database.reading() as connection:
        row = subjects.get_subject(connection, subject)
        found = pending_grants.waits_of(connection, subject, past=past)
    why = context.duty_rules.second_look_why[row.language] if row else ""
    return [(one, why) for one in found if past or one.open_until > context.clock.now()]


def second_look_choices(
    context: Context, subject: UUID, recipient: Agency, categories: Collection[str]
) -> Sequence[Agency] | None:
    """Return the agencies that she may choose from for the second look that a grant needs; None if it needs none."""
    with context.database.reading() as connection:
        row = subjects.get_subject(connection, subject)
        if row is None or not context.duty_rules.needs_second_look(row.age_band, recipient.sector, categories):
            return None
        return [agency for agency in may_second_look(context, connection, subject) if agency.id != recipient.id]


def may_second_look(context: Context, connection: Connection, subject: UUID) -> Sequence[Agency]:
    """Return the agencies that know her, are of a fitting sector, and are not shut out by her.

    Her pause, and their lateness with notices, count only when they ask for what waits: until then her plan stays hidden.
    """
    known = context.roster.find(connection, sorted(subjects.links_of(connection, subject)))
    fitting = [
        one
        for one in known.values()
        if one.standing == "active" and one.sector in context.duty_rules.second_look_sectors
    ]
    snapshots = read_snapshots(connection, context.roster, [subject], [one.id for one in fitting])

    def let_in(agency: Agency) -> bool:
        snapshot, recipient = snapshots.of(subject, agency.id), Recipient(agency.id, agency.sector, agency.standing)
        state = "active" if snapshot.state == "paused" else snapshot.state
        return may_be_told_anything(context, replace(snapshot, state=state, recipient=recipient), agency.id)

    return sorted(filter(let_in, fitting), key=lambda agency: agency.name)


def may_be_told(context: Context, snapshot: Snapshot, agency: str, purpose: str, categories: Collection[str]) -> bool:
    """Tell whether an agency may know of this wish, which tells about her: decide as if it had a grant of all that."""
    now, wanted = context.clock.now(), frozenset(categories)
    as_if = Grant(UUID(int=0), agency, purpose, wanted, now, now + context.duty_rules.second_look_time)
    decision = decide(replace(snapshot, grants=[as_if]), Request(agency, purpose, wanted), now, context.policy)
    return bool(wanted) and decision.permitted == wanted


def may_be_told_anything(context: Context, snapshot: Snapshot, agency: str) -> bool:
    """Tell whether there is any purpose and category of which an agency might be told."""
    every = product(context.policy.purposes, context.policy.categories)
    return any(may_be_told(context, snapshot, agency, purpose, [category]) for purpose, category in every)


def _check(change: Change, second_look_by: str | None, recipient: str) -> None:
    fitting = {agency.id for agency in may_second_look(change.context, change.connection, change.subject)}
    if second_look_by not in fitting or second_look_by == recipient:
        raise invalid(
            Fault(
                "/second_look_by",
                "An agency that knows you must look at this with you first.",
                "the id of such an agency, and not the one that would see it",
            )
        )
