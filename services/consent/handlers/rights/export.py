"""Reads what the hub keeps about her: her permissions at a glance, and her ledger by pages."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from services.common.errors import not_found
from services.consent.context import Context
from services.consent.domain import Request, decide
from services.consent.ledger import entries as ledger
from services.consent.store import permissions, subjects
from services.consent.store.snapshots import read_snapshots

PAGE = 50
LARGE_PAGE = 200
"""Entries that a copy of everything holds in memory at once."""


def ledger_page(
    context: Context, subject: UUID, before: int | None, size: int = PAGE
) -> tuple[Sequence[Any], int | None]:
    """Return a page of her ledger, newest first, and the position before which the next page begins; None at the end."""
    with context.database.reading() as connection:
        rows = ledger.about(connection, subject, before, size)
    return rows, rows[-1].position if len(rows) == size else None


def ledger_pages(context: Context, subject: UUID) -> Iterator[Sequence[Any]]:
    """Yield her whole ledger by pages, newest first; each is read when it is asked for, and none once she is erased."""
    rows, before = ledger_page(context, subject, None, LARGE_PAGE)
    yield rows
    while before is not None:
        rows, before = ledger_page(context, subject, before, LARGE_PAGE)
        yield rows


def overview(context: Context, subject: UUID, *, past: bool = False) -> Mapping[str, Any]:
    """Return her present permissions: state, grants, restrictions, open requests, the agencies that know her, statistics.

    With `past`, also the restrictions that she lifted, and the requests that she answered or let pass. Raises 404.
    """
    with context.database.reading() as connection:
        row = subjects.get_subject(connection, subject)
        if row is None:
            raise not_found()
        return {
            "state": row.state,
            "epoch": row.epoch,
            "language": row.language,
            "age_band": row.age_band,
            "since": row.created_at,
            "statistics": row.statistics_key is not None,
            "grants": permissions.grants_of(connection, subject),
            "restrictions": permissions.restrictions_of(connection, subject, lifted=past),
            "requests": permissions.requests_to(connection, subject, None if past else context.clock.now()),
            "links": subjects.links_of(connection, subject),
            "agencies": context.roster.active(connection),
        }


def kept_back(context: Context, subject: UUID, allowed: Sequence[Any]) -> list[list[str]]:
    """Return the categories that her restrictions deny, for each grant or wish in order; pause and standing do not count."""
    with context.database.reading() as connection:
        snapshots = read_snapshots(connection, context.roster, [subject], {one.agency for one in allowed})
    now, found = context.clock.now(), []
    for one in allowed:
        snapshot = snapshots.of(subject, one.agency)
        recipient = snapshot.recipient and replace(snapshot.recipient, standing="active")
        request = Request(one.agency, one.purpose, frozenset(one.categories))
        decision = decide(replace(snapshot, state="active", recipient=recipient), request, now, context.policy)
        found.append([category for category, verdict in decision.verdicts.items() if verdict.rule == "restriction"])
    return found
