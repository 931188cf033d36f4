"""Notices by polling (RFC 8936): agencies fetch and acknowledge them, and attest what they did."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

import schemas
from services.common.errors import Fault, invalid, not_found
from services.consent.context import Context
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.security_event_tokens import as_set
from services.consent.store import notices, subjects

MOST = 1000
ERRORS = (
    "invalid_request",
    "invalid_key",
    "invalid_issuer",
    "invalid_audience",
    "authentication_failed",
    "access_denied",
)
"""Codes by which a receiver may say why it could not read a SET (RFC 8935, section 2.4)."""


@dataclass(frozen=True, slots=True)
class Poll:
    """A poll: acknowledged notices, notices that could not be read, and how many are wanted now."""

    acknowledged: Collection[UUID] = ()
    errors: Mapping[UUID, str] = field(default_factory=dict)
    at_most: int | None = None


@dataclass(frozen=True, slots=True)
class Polled:
    """Notices as signed SETs by id, oldest first, and whether there are more."""

    sets: Mapping[str, str]
    more: bool


def poll(context: Context, agency: str, asked: Poll) -> Polled:
    """Take acknowledgements and return waiting notices. One that is not acknowledged is returned again."""
    if not set(ERRORS).issuperset(asked.errors.values()):
        raise invalid(Fault("/setErrs", "Not one of the codes.", ", ".join(ERRORS)))
    now, limit = context.clock.now(), min(MOST if asked.at_most is None else asked.at_most, MOST)
    with context.database.transaction() as connection:
        done = notices.acknowledge(connection, agency, asked.acknowledged, now) if asked.acknowledged else ()
        for name, error in asked.errors.items():
            notices.keep_error(connection, agency, name, error)
        waiting = notices.waiting_for(connection, agency, limit + 1)
        given = waiting[:limit]
        notices.told(connection, [row.id for row in given], now)
        if done:
            # Last, so that all take locks in one order, notices before survivors: otherwise two could deadlock.
            _record(connection, "notice.acknowledged", done, now)
    return Polled({str(row.id): as_set(context.signer, row) for row in given}, more=len(waiting) > limit)


def acknowledge(connection: Connection, agency: str, ids: Collection[UUID], now: datetime) -> None:
    """Mark notices as acknowledged by an agency, and tell the survivors in their ledgers."""
    if ids and (done := notices.acknowledge(connection, agency, ids, now)):
        _record(connection, "notice.acknowledged", done, now)


def attest(context: Context, agency: str, name: UUID, done: str) -> None:
    """Keep what an agency attests about a notice, which also acknowledges it; raise 400 or 404."""
    if done not in schemas.code_set("attestations"):
        accepted = ", ".join(sorted(schemas.code_set("attestations")))
        raise invalid(Fault("/done", "Not one of the codes.", accepted))
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = notices.get_notice(connection, agency, name)
        if row is None:
            raise not_found()
        acknowledge(connection, agency, [name], now)
        if notices.attest(connection, name, done, now):
            _record(connection, "notice.attested", [row], now, done=done)


@dataclass(frozen=True, slots=True)
class Told:
    """The progress of one agency with the notices about her."""

    agency: str
    notices: Sequence[Any]
    now: datetime

    def as_counts(self) -> dict[str, int]:
        """Count the notices: all, told to the agency, acknowledged, attested, and overdue."""
        return {
            "notices": len(self.notices),
            "told": sum(row.told_at is not None for row in self.notices),
            "acknowledged": sum(row.acknowledged_at is not None for row in self.notices),
            "attested": sum(row.attested_at is not None for row in self.notices),
            "overdue": sum(is_overdue(row, self.now) for row in self.notices),
        }


def told_about(context: Context, subject: UUID) -> list[Told]:
    """Return the notices about a survivor, by agency."""
    by_agency: dict[str, list[Any]] = defaultdict(list)
    with context.database.reading() as connection:
        for row in notices.notices_about(connection, subject):
            by_agency[row.agency].append(row)
    return [Told(agency, rows, context.clock.now()) for agency, rows in sorted(by_agency.items())]


def is_overdue(row: Any, now: datetime) -> bool:
    """Tell whether an agency is late with acknowledging, or with attesting what had to be done by a day."""
    if row.acknowledged_at is None:
        return bool(row.acknowledge_by <= now)
    must_attest = row.act_by > row.made_at
    return bool(must_attest and row.attested_at is None and row.act_by <= now)


def _record(connection: Connection, kind: str, rows: Sequence[Any], now: datetime, **detail: Any) -> None:
    """Add an entry for each notice to its survivor's ledger; erased survivors get none."""
    still_here = subjects.hold(connection, {row.subject_id for row in rows if row.subject_id})
    entries = [
        Entry(kind, row.subject_id, row.agency, {"notice": str(row.id), "grant": str(row.grant_id), **detail})
        for row in rows
        if row.subject_id in still_here
    ]
    if entries:
        ledger.append(connection, entries, now)
