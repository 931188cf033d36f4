"""Repeats: which entries say again what an agency's earlier entry says, and how often that was (docs/adr/0033).

The first act of a run is an entry like any other. A repeat within a day is counted on it, in the transaction of the act, and
becomes an entry of its own only when the count reaches a power of ten, or when the day is over and a new run begins.
"""

import hmac
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from services.common.database.list_parameters import listed, one_of
from services.common.encoding import base64url, canonical
from services.consent.models import ledger_entry, ledger_repeat

WINDOW = timedelta(days=1)
INTENDED = "opening.intended"
MEMBERS: Mapping[str, Sequence[str]] = {
    INTENDED: ("grant", "referral", "categories"),
    "opening.delivered": ("grant", "referral"),
    "opening.indeterminate": ("grant", "referral"),
    "opening.refused": ("grant", "foreign", "rules"),
    "nothing.to.end": (),
}
"""Kinds that can repeat, and the members of the detail that are equal in one run, besides the agency.

Of a refusal neither the referral nor the categories count: the asker writes both, and could make each refusal a new one.
"""


def run_of(kind: str, agency: str | None, detail: Mapping[str, Any], secret: bytes | None) -> str | None:
    """Return the name of the run that an act belongs to; None if it cannot repeat, or nobody holds the key of the ledger.

    The name is keyed with her ledger key: without it, a row tells neither the agency nor the grant.
    """
    if kind not in MEMBERS or not secret:
        return None
    same = {name: _plain(detail.get(name)) for name in MEMBERS[kind]}
    return base64url(hmac.digest(hmac.digest(secret, b"run", "sha256"), canonical([kind, agency, same]), "sha256"))


def outcomes_of(agency: str | None, detail: Mapping[str, Any], secret: bytes | None) -> list[str]:
    """Return the names of the runs in which the outcome of such an intent would have been recorded before."""
    refused = {"grant": detail.get("grant")}
    asked = [("opening.delivered", detail), ("opening.indeterminate", detail), ("opening.refused", refused)]
    return [name for kind, known in asked if (name := run_of(kind, agency, known, secret))]


def firsts(connection: Connection, runs: Iterable[str], now: datetime) -> dict[str, int]:
    """Return the position of the first entry of each run that has begun within the last day."""
    wanted = sorted(set(runs))
    if not wanted:
        return {}
    run = ledger_entry.c.run
    # That it is not NULL follows from the rest; it is said because the index holds no others.
    known = (one_of(run, "runs"), run.is_not(None), ledger_entry.c.at > now - WINDOW)
    query = select(run, func.max(ledger_entry.c.position)).where(*known).group_by(run)
    return {row[0]: row[1] for row in connection.execute(query, {"runs": listed(wanted)})}


def count(connection: Connection, repeats: Counter[int], now: datetime) -> dict[int, int]:
    """Count repeats on the entries at these positions; return the powers of ten that were reached, by position."""
    if not repeats:
        return {}
    statement = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(ledger_repeat)
    more = ledger_repeat.c.times + statement.excluded.times - 1
    counting = statement.on_conflict_do_update(
        index_elements=["position"], set_={"times": more, "last_at": statement.excluded.last_at}
    )
    # In one order for all callers, so that two cannot wait for each other.
    rows = [{"position": position, "times": 1 + number, "last_at": now} for position, number in sorted(repeats.items())]
    connection.execute(counting, rows)
    counted = select(ledger_repeat.c.position, ledger_repeat.c.times).where(one_of(ledger_repeat.c.position, "places"))
    found = {row[0]: row[1] for row in connection.execute(counted, {"places": listed(repeats)})}
    reached = {position: _power(times) for position, times in found.items()}
    return {place: power for place, power in reached.items() if power > found[place] - repeats[place]}


def forget(connection: Connection, subject: UUID) -> None:
    """Remove the counts on a survivor's entries."""
    hers = select(ledger_entry.c.position).where(ledger_entry.c.subject_id == subject)
    connection.execute(delete(ledger_repeat).where(ledger_repeat.c.position.in_(hers)))


def _plain(value: Any) -> Any:
    """Return a member in the form in which it is compared: of rules by category, the set of rules."""
    return sorted(set(value.values())) if isinstance(value, Mapping) else value


def _power(number: int) -> int:
    """Return the greatest power of ten that is not above a number."""
    return 10 ** (len(str(number)) - 1)
