"""Records what an agency did under its own legal duty: shown in her ledger, or sealed there until a day.

This is not consent, and it opens nothing: no module that decides or opens may be imported from here, and none of them
knows this one (see the import contracts and `tests/architecture/test_compelled_opens_nothing.py`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from secrets import token_hex
from typing import Any
from uuid import UUID

import schemas
from services.common.encoding import canonical
from services.common.errors import Fault, Problem, invalid, not_found
from services.consent.context import Context
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.store import compelled, subjects

A_DAY, MOST = timedelta(days=1), 5
"""How many records an agency may make about one survivor in a day: each is an entry of her ledger that she cannot refuse."""


@dataclass(frozen=True, slots=True)
class Approver:
    """A person of the agency, by initials and role: the hub keeps no names and takes no free text."""

    initials: str
    role: str


@dataclass(frozen=True, slots=True)
class Record:
    """The facts of a compelled disclosure: by which law, to which authority, which categories, when, and who approved it."""

    basis: str
    authority: str
    categories: Sequence[str]
    disclosed_on: date
    approvers: Sequence[Approver]
    sealed_until: date | None = None


def record(context: Context, agency: str, ppid: str, made: Record) -> UUID:
    """Keep a record and return its id; the same record again returns the first id, since an answer may have been lost.

    Raises 404 for an unknown ppid, 400 for malformed facts, 429 after `MOST` new records about her in a day.
    """
    now, name = context.clock.now(), context.clock.new_id()
    _check(context, made, now.date())
    last = made.sealed_until
    until = datetime(last.year, last.month, last.day, tzinfo=UTC) if last else None
    content = _content(made)
    with context.database.transaction() as connection:
        subject = subjects.linked(connection, [(agency, ppid)]).get((agency, ppid))
        if subject is None or not subjects.hold(connection, [subject]):
            raise not_found()
        same = sha256(canonical([ppid, content, until and until.isoformat()])).hexdigest()
        if (before := compelled.same_record(connection, agency, same)) is not None:
            return before
        if compelled.count_since(connection, agency, subject, now - A_DAY) >= MOST:
            raise _too_many()
        row = {"id": name, "subject_id": subject, "agency": agency, "content": {**content, "salt": token_hex(16)}}
        compelled.add_record(connection, {**row, "sha256": same, "recorded_at": now, "sealed_until": until})
        ledger.append(connection, [_entry(row, until)], now)
    return name


def records_about(context: Context, subject: UUID) -> list[dict[str, Any]]:
    """Return every record about a survivor; a sealed one shows only that it exists and until when it is sealed."""
    now = context.clock.now()
    with context.database.reading() as connection:
        rows = compelled.records_about(connection, subject)
    return [_shown(row, is_sealed=row.sealed_until is not None and now < row.sealed_until) for row in rows]


def unseal_due(context: Context, limit: int = 100) -> int:
    """Write into her ledger the records whose sealing has ended; return how many."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        rows = compelled.unseal(connection, now, limit)
        entries = [
            Entry("compelled.unsealed", row.subject_id, row.agency, {"record": str(row.id), **row.content})
            for row in rows
        ]
        if entries:
            ledger.append(connection, entries, now)
    return len(rows)


def _too_many() -> Problem:
    return Problem(
        429,
        "too-many-records",
        "Too many disclosures about this person were recorded today. Record the next one tomorrow, with its own day.",
        headers={"Retry-After": str(int(A_DAY.total_seconds()))},
    )


def _entry(row: Mapping[str, Any], until: datetime | None) -> Entry:
    """Return the ledger entry. A sealed one commits to its content, so that what it says later cannot be made up later."""
    if until is None:
        return Entry(
            "compelled.recorded", row["subject_id"], row["agency"], {"record": str(row["id"]), **row["content"]}
        )
    commitment = sha256(canonical([row["agency"], row["content"]])).hexdigest()
    detail = {"record": str(row["id"]), "sealed_until": until.date().isoformat(), "sha256": commitment}
    return Entry("compelled.sealed", row["subject_id"], None, detail)


def _content(made: Record) -> dict[str, Any]:
    return {
        "basis": made.basis,
        "authority": made.authority,
        "categories": sorted(set(made.categories)),
        "disclosed_on": made.disclosed_on.isoformat(),
        "approvers": sorted(f"{one.initials} {one.role}" for one in made.approvers),
    }


def _shown(row: Any, *, is_sealed: bool) -> dict[str, Any]:
    until = row.sealed_until.date().isoformat() if row.sealed_until else None
    shown = {"id": str(row.id), "recorded_at": row.recorded_at.isoformat(), "sealed_until": until}
    return shown if is_sealed else {**shown, "agency": row.agency, **row.content}


def _check(context: Context, made: Record, today: date) -> None:
    codes = [
        ("/basis", "legal_bases", [made.basis]),
        ("/authority", "authorities", [made.authority]),
        ("/categories", "categories", made.categories),
        ("/approvers", "approver_roles", [one.role for one in made.approvers]),
    ]
    faults = [fault for place, name, given in codes if (fault := _unknown(place, name, given))]
    if len({one.initials for one in made.approvers}) != 2 or len(made.approvers) != 2:
        faults.append(Fault("/approvers", "Two different people must have approved this.", "two, each by initials"))
    if made.disclosed_on > today:
        faults.append(Fault("/disclosed_on", "This is for what was done, not for what will be.", "today or before"))
    if made.sealed_until is not None:
        faults += _sealing(context, made, today)
    if faults:
        raise invalid(*faults)


def _sealing(context: Context, made: Record, today: date) -> list[Fault]:
    """Return the faults of sealing: only some laws allow it, and only for a limited time."""
    faults = []
    if made.basis not in context.duty_rules.may_be_sealed:
        accepted = ", ".join(sorted(context.duty_rules.may_be_sealed))
        faults.append(Fault("/sealed_until", "Under this law she may know at once.", f"with basis {accepted} only"))
    last = today + context.duty_rules.sealed_time
    if made.sealed_until is not None and not today < made.sealed_until <= last:
        faults.append(
            Fault("/sealed_until", "Not a day until which this can be sealed.", f"until {last} at the latest")
        )
    return faults


def _unknown(place: str, name: str, given: Collection[str]) -> Fault | None:
    known = schemas.code_set(name)
    if given and known.issuperset(given):
        return None
    return Fault(place, "Missing, or not one of the codes.", ", ".join(sorted(known)))
