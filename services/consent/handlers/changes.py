"""The frame of every act that changes what may leave: exclusive lock, new epoch, events, ledger, one commit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from services.common.errors import Problem, not_found, unavailable
from services.common.event import Event
from services.consent import events, ledger
from services.consent.ledger import Entry
from services.consent.locks import Busy
from services.consent.room import Room
from services.consent.store import permissions, subjects


@dataclass(slots=True)
class Change:
    """One act under way. What is put into `entries` and `events` is recorded when the block ends."""

    connection: Connection
    room: Room
    subject: UUID
    row: subjects.SubjectRow
    epoch: int
    now: datetime
    entries: list[Entry] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def record(self, kind: str, agency: str | None = None, **detail: Any) -> None:
        """Put a line into her ledger."""
        self.entries.append(Entry(kind, self.subject, agency, {**detail, "epoch": self.epoch}))

    def end(self, grants: Sequence[Any], reason: str, **detail: Any) -> None:
        """End grants: no more openings, their keys destroyed, their recipients' referrals withdrawn."""
        if not grants:
            return
        permissions.end_grants(self.connection, [grant.id for grant in grants], reason, self.epoch, self.now)
        for grant in grants:
            self.record("grant.ended", grant.agency, grant=str(grant.id), reason=reason, **detail)
            self.record("key.destroyed", grant.agency, grant=str(grant.id))
            clock = self.room.clock
            self.events.append(events.grant_ended(clock, grant.id, grant.agency, reason, self.epoch))


@contextmanager
def changing(room: Room, subject: UUID) -> Iterator[Change]:
    """Hold a survivor exclusively and let the block change her permissions; nothing is kept if the block raises.

    When this returns, every opening that was decided before has ended, and every later one sees the change.
    """
    try:
        with room.locks.changing(subject) as connection:
            row = subjects.get_subject(connection, subject)
            if row is None or row.state == "erased":
                raise not_found()
            epoch = subjects.raise_epoch(connection, subject)
            change = Change(connection, room, subject, row, epoch, room.clock.now())
            yield change
            room.outbox.add(connection, change.events, change.now)
            if change.entries:
                ledger.append(connection, change.entries, change.now)
    except Busy as error:
        raise _busy() from error


def _busy() -> Problem:
    return unavailable("Something of yours is just being read. Please try again in a moment.", retry_after=1)
