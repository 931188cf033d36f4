"""Her other rights: link codes, statistics, who looked, a copy of everything, and to be forgotten."""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from secrets import token_bytes
from typing import Any
from uuid import UUID

from services.common.encoding import base32
from services.common.errors import not_found
from services.common.fiscal_periods import fiscal_year
from services.consent import events
from services.consent.context import Context
from services.consent.credentials import new_code
from services.consent.domain import Request, decide
from services.consent.handlers.accounts.sessions import stay
from services.consent.handlers.grants.changes import Change, changing
from services.consent.ledger import entries as ledger
from services.consent.store import permissions, subjects
from services.consent.store.snapshots import read_snapshots

LINK_TIME = timedelta(hours=1)
PAGE = 50


@dataclass(frozen=True, slots=True)
class LinkCode:
    """A code she tells one agency, so that it may refer for her."""

    code: str
    expires_at: datetime


def make_link_code(context: Context, subject: UUID) -> LinkCode:
    """A new link code, good once and for an hour."""
    made = LinkCode(new_code(), context.clock.now() + LINK_TIME)
    with context.database.transaction() as connection:
        stay(connection, subject)
        digest = context.secrets.code_digest("link", made.code)
        subjects.add_link_code(connection, digest, subject, made.expires_at)
    return made


def set_statistics(context: Context, subject: UUID, *, on: bool) -> None:
    """Be counted, or as if never counted. Switching on again makes new pseudonyms: nothing old comes back."""
    with changing(context, subject) as change:
        if on and change.row.statistics_key is None:
            values = {"statistics_key": token_bytes(32), "statistics_since": change.now}
            subjects.change_subject(change.connection, subject, **values)
        if not on:
            _withdraw_statistics(change)
            subjects.change_subject(change.connection, subject, statistics_key=None, statistics_since=None)
        change.record("statistics.on" if on else "statistics.off")


def statistics_pseudonym(row: Any, day: date) -> str | None:
    """The name under which a survivor is counted in that day's fiscal year; None unless she said yes."""
    if row.statistics_key is None:
        return None
    digest = hmac.digest(row.statistics_key, f"statistics/{fiscal_year(day)}".encode(), "sha256")
    return base32(digest[:20])[:26]


def read_ledger(context: Context, subject: UUID, before: int | None) -> tuple[Sequence[Any], int | None]:
    """A page of her ledger, newest first, and the position before which the next page begins."""
    with context.database.reading() as connection:
        rows = ledger.about(connection, subject, before, PAGE)
    return rows, rows[-1].position if len(rows) == PAGE else None


def overview(context: Context, subject: UUID, *, past: bool = False) -> Mapping[str, Any]:
    """Her present permissions: state, grants, restrictions, open requests, the agencies that know her, statistics.

    With `past`, also the restrictions that she lifted, and the requests that she answered or let pass.
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
    """What she forbids of each of several things that she allows or would allow, whoever is active just now."""
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


def erase(context: Context, subject: UUID) -> None:
    """Forget her: every grant ends, every key of hers is destroyed, every way to find her is removed. Final."""
    with changing(context, subject) as change:
        change.end(permissions.live_grants(change.connection, subject), "erased")
        _withdraw_statistics(change)
        permissions.forget_permissions(change.connection, subject)
        subjects.forget_subject(change.connection, subject)
        change.record("erased")


def _withdraw_statistics(change: Change) -> None:
    """Tell reporting every pseudonym under which she may have been counted."""
    if change.row.statistics_key is None:
        return
    years = range(fiscal_year(change.row.statistics_since.date()), fiscal_year(change.now.date()) + 1)
    names = [statistics_pseudonym(change.row, date(year, 4, 1)) for year in years]
    change.events.append(events.statistics_withdrawn(change.context.clock, [name for name in names if name]))
