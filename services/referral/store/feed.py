"""Queries on feeds: entries numbered per agency without gaps, in the order of commit, and the places in its lists."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from services.common.database.engine import at_the_end
from services.common.database.inserts import insert_all
from services.common.database.list_parameters import listed, one_of
from services.referral.models import agency_counter, envelope, feed_entry, referral

AnyRow = Row[tuple[Any, ...]]
_PLACED = (
    update(referral)
    .where(referral.c.id == bindparam("of"))
    .values(sender_place=bindparam("sent"), recipient_place=bindparam("received"))
)
_WAITING = update(envelope).where(envelope.c.referral_id == bindparam("of")).values(place=bindparam("received"))


class Listed(NamedTuple):
    """A new referral that needs its place in the lists of both sides."""

    referral: str
    sender: str
    recipient: str


@dataclass(slots=True)
class Told:
    """An entry for one agency's feed; it has its `number` once the transaction is about to commit."""

    agency: str
    type: str
    subject: str
    state: str | None
    at: datetime
    number: int = 0


def add_entries(connection: Connection, entries: Sequence[Told]) -> None:
    """Add entries to feeds; they are numbered as the last thing in the transaction."""
    for entry in entries:
        at_the_end(connection, number, entry)


def add_to_lists(connection: Connection, new: Listed) -> None:
    """Give a new referral its place in the lists of both sides, as the last thing in the transaction."""
    at_the_end(connection, number, new)


def number(connection: Connection, items: Sequence[Told | Listed]) -> None:
    """Number entries and new referrals, per agency in the order in which they were added.

    Counters are locked in sorted order and held until the commit, so that two transactions cannot deadlock over them, and a
    number can be read only after every smaller one of its agency.
    """
    entries = [item for item in items if isinstance(item, Told)]
    new = [item for item in items if isinstance(item, Listed)]
    feeds = Counter(entry.agency for entry in entries)
    lists = Counter(agency for one in new for agency in (one.sender, one.recipient))
    last_entry, last_place = dict[str, int](), dict[str, int]()
    for agency in sorted(feeds.keys() | lists.keys()):
        row = _count(connection, agency, feeds[agency], lists[agency])
        last_entry[agency], last_place[agency] = row.feed - feeds[agency], row.listed - lists[agency]
    for entry in entries:
        last_entry[entry.agency] += 1
        entry.number = last_entry[entry.agency]
    if entries:
        names = ("agency", "number", "type", "subject", "state", "at")
        insert_all(connection, feed_entry, [{name: getattr(entry, name) for name in names} for entry in entries])
    if new:
        _place(connection, new, last_place)


def _count(connection: Connection, agency: str, entries: int, listed_: int) -> AnyRow:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = dialect.insert(agency_counter).values(agency=agency, feed=entries, listed=listed_)
    counted = row.on_conflict_do_update(
        index_elements=[agency_counter.c.agency],
        set_={name: agency_counter.c[name] + row.excluded[name] for name in ("feed", "listed")},
    )
    return connection.execute(counted.returning(agency_counter.c.feed, agency_counter.c.listed)).one()


def _place(connection: Connection, new: Sequence[Listed], last: dict[str, int]) -> None:
    places = []
    for one in new:
        place: dict[str, object] = {"of": one.referral}
        for side, agency in (("sent", one.sender), ("received", one.recipient)):
            last[agency] += 1
            place |= {side: last[agency]}
        places.append(place)
    connection.execute(_PLACED, places)
    connection.execute(_WAITING, places)


def last_number(connection: Connection, agency: str) -> int:
    """Return the number of an agency's last entry; 0 if it has none."""
    found: int | None = connection.scalar(select(agency_counter.c.feed).where(agency_counter.c.agency == agency))
    return found or 0


def last_numbers(connection: Connection, agencies: Sequence[str]) -> Mapping[str, int]:
    """Return the number of the last entry of each of these agencies that has one."""
    query = select(agency_counter.c.agency, agency_counter.c.feed).where(one_of(agency_counter.c.agency, "agencies"))
    return {row.agency: row.feed for row in connection.execute(query, {"agencies": listed(agencies)})}


def entries_after(connection: Connection, agency: str, after: int, limit: int) -> Sequence[AnyRow]:
    """Return an agency's entries after a number, in order."""
    mine = (feed_entry.c.agency == agency, feed_entry.c.number > after)
    return connection.execute(select(feed_entry).where(*mine).order_by(feed_entry.c.number).limit(limit)).all()


def entries_numbered(connection: Connection, agency: str, numbers: Sequence[int]) -> Mapping[int, AnyRow]:
    """Return those of an agency's entries that have these numbers, by number."""
    mine = (feed_entry.c.agency == agency, feed_entry.c.number.in_(numbers))
    return {row.number: row for row in connection.execute(select(feed_entry).where(*mine))}


def empty_subjects(connection: Connection, kind: str, before: datetime) -> None:
    """Remove the ids from entries of one type that were made before then; their numbers stay, so that no gap opens."""
    old = (feed_entry.c.type == kind, feed_entry.c.at < before, feed_entry.c.subject != "")
    connection.execute(update(feed_entry).where(*old).values(subject=""))
