"""Statistics consent: she is counted in reports under a pseudonym of her own, or not at all."""

import hmac
from datetime import date
from secrets import token_bytes
from typing import Any
from uuid import UUID

from services.common.encoding import base32
from services.common.fiscal_periods import fiscal_year
from services.consent import events
from services.consent.context import Context
from services.consent.handlers.grants.changes import Change, changing
from services.consent.store import subjects


def set_statistics(context: Context, subject: UUID, *, on: bool) -> None:
    """Switch her statistics consent on or off; off withdraws what was counted, and on again makes new pseudonyms."""
    with changing(context, subject) as change:
        if on and change.row.statistics_key is None:
            values = {"statistics_key": token_bytes(32), "statistics_since": change.now}
            subjects.change_subject(change.connection, subject, **values)
        if not on:
            withdraw_statistics(change)
            subjects.change_subject(change.connection, subject, statistics_key=None, statistics_since=None)
        change.record("statistics.on" if on else "statistics.off")


def statistics_pseudonym(row: Any, day: date) -> str | None:
    """Return the name under which a survivor is counted in that day's fiscal year; None without her statistics consent."""
    if row.statistics_key is None:
        return None
    digest = hmac.digest(row.statistics_key, f"statistics/{fiscal_year(day)}".encode(), "sha256")
    return base32(digest[:20])[:26]


def withdraw_statistics(change: Change) -> None:
    """Tell reporting every pseudonym under which she may have been counted, so that it removes her."""
    if change.row.statistics_key is None:
        return
    years = range(fiscal_year(change.row.statistics_since.date()), fiscal_year(change.now.date()) + 1)
    names = [statistics_pseudonym(change.row, date(year, 4, 1)) for year in years]
    change.events.append(events.statistics_withdrawn(change.context.clock, [name for name in names if name]))
