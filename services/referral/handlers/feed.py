"""The feed: tells agencies what changed for them, as ids and states, and reads it back to them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from services.common.auth.access_tokens import not_active
from services.common.errors import Fault, invalid
from services.common.messaging.cloudevents import Event
from services.referral import events
from services.referral.context import Context
from services.referral.models import roster
from services.referral.store import feed as store
from services.referral.store.feed import AnyRow, Told

PAGE = 100
NOTICE_TIME = timedelta(days=90)
"""How long an entry names its notice."""
UPDATED = "referral.updated.v1"
REFUSED = "event.refused.v1"
NOTICE = "notice.made.v1"
OVERDUE = "referral.overdue.v1"
TEST = "webhook.test.v1"


def tell(
    context: Context,
    connection: Connection,
    agencies: Iterable[str],
    kind: str,
    subject: str,
    state: str | None = None,
) -> list[Told]:
    """Add an entry to the feed of each of these agencies, in the transaction that makes the change; return the entries.

    `kind` is the type of the event, `subject` the id of what changed, `state` its new state or None. Entries have their
    numbers once the transaction has committed.
    """
    at = context.clock.now()
    entries = [Told(agency, kind, subject, state, at) for agency in sorted(set(agencies))]
    store.add_entries(connection, entries)
    return entries


def refuse(context: Context, connection: Connection, event: Event, reason: str) -> None:
    """Send an answer back to the agency that gave it, and tell it so in its feed."""
    context.outbox.add(connection, [events.refused(context.clock, event, reason)], context.clock.now())
    tell(context, connection, [event.source], REFUSED, event.id, "rejected")


def note_notice(context: Context, connection: Connection, event: Event) -> None:
    """Handle `notice.made.v1`: tell an agency that a notice waits for it at consent."""
    tell(context, connection, [event.data["agency"]], NOTICE, event.data["notice"])


def forget_notices(context: Context) -> None:
    """Remove the ids of notices from old entries: what consent has forgotten of an erased survivor must not last here."""
    with context.database.transaction() as connection:
        store.empty_subjects(connection, NOTICE, context.clock.now() - NOTICE_TIME)


@dataclass(frozen=True, slots=True)
class Page:
    """Entries of a feed in order, and the number after which the next page begins."""

    entries: Sequence[AnyRow]
    next: int


def read_feed(context: Context, agency: str, after: int) -> Page:
    """Return what changed for an agency after a number; raise 400 for a number that no entry has yet."""
    with context.database.reading() as connection:
        # The entries first: what commits in between is then no reason to call the caller's number one from the future.
        entries = store.entries_after(connection, agency, after, PAGE)
        if not entries:
            check_number(connection, agency, after, "query after")
    return Page(entries, entries[-1].number if entries else after)


def check_number(connection: Connection, agency: str, number: int, member: str) -> None:
    """Raise 400 for a number greater than that of the agency's last entry."""
    last = store.last_number(connection, agency)
    if number > last:
        raise invalid(Fault(member, "No entry has this number yet.", f"at most {last}"))


def read_again(context: Context, agency: str, after: int) -> Page:
    """Return what `read_feed` does, after a wait; raise 403 for an agency that was suspended meanwhile."""
    if roster.standing(context.database, agency) != "active":
        raise not_active()
    return read_feed(context, agency, after)


def last_numbers(context: Context, agencies: Sequence[str]) -> Mapping[str, int]:
    """Return the number of the last entry of each of these agencies that has one."""
    with context.database.reading() as connection:
        return store.last_numbers(connection, agencies)
