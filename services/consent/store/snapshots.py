"""Reads everything that decisions rest on, for many survivors in a handful of queries, always from the primary."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select

from services.common.database.list_parameters import listed, one_of
from services.consent.domain import Grant, Recipient, Restriction, Snapshot
from services.consent.models import grant, restriction, subject
from services.consent.store.recipients import Recipients

# Built once: they are asked for each request.
_SUBJECTS = select(subject).where(one_of(subject.c.id, "subjects"))
_GRANTS = select(grant).where(
    one_of(grant.c.subject_id, "subjects"), one_of(grant.c.agency, "agencies"), grant.c.ended_at.is_(None)
)
_RESTRICTIONS = select(restriction).where(
    one_of(restriction.c.subject_id, "subjects"), restriction.c.lifted_at.is_(None)
)


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The rows read, from which the snapshot of any of the survivors towards any of the agencies follows."""

    subjects: Mapping[UUID, Row[tuple[Any, ...]]]
    grants: Mapping[UUID, list[Grant]]
    restrictions: Mapping[UUID, list[Restriction]]
    recipients: Mapping[str, Recipient]
    public_keys: Mapping[UUID, bytes]
    """Public keys to seal parts to, by grant."""
    epochs: Mapping[UUID, int]
    """The epochs that agencies are told, by grant."""
    bound: frozenset[UUID]
    """The grants that allow only the texts which she has read."""

    def of(self, subject_id: UUID, agency: str) -> Snapshot:
        """Return the snapshot of one survivor towards one agency; an unknown survivor counts as erased."""
        row = self.subjects.get(subject_id)
        return Snapshot(
            state=row.state if row else "erased",
            epoch=row.epoch if row else 0,
            recipient=self.recipients.get(agency),
            grants=[grant for grant in self.grants.get(subject_id, []) if grant.agency == agency],
            restrictions=self.restrictions.get(subject_id, []),
        )


def read_snapshots(
    connection: Connection, roster: Recipients, subjects: Collection[UUID], agencies: Collection[str]
) -> Snapshots:
    """Read survivors, their grants that have not ended, their restrictions in force, and the agencies."""
    about = {"subjects": listed(subjects), "agencies": listed(agencies)}
    rows = connection.execute(_SUBJECTS, about)
    grants, keys, epochs = defaultdict[UUID, list[Grant]](list), dict[UUID, bytes](), dict[UUID, int]()
    bound = set()
    for row in connection.execute(_GRANTS, about):
        grants[row.subject_id].append(_grant(row))
        keys[row.id] = bytes(row.public_key)
        epochs[row.id] = row.agency_epoch
        if row.only_this is not False:
            bound.add(row.id)
    restrictions: dict[UUID, list[Restriction]] = defaultdict(list)
    for row in connection.execute(_RESTRICTIONS, about):
        rule = Restriction(row.id, row.agency, row.sector, row.category, row.purpose)
        restrictions[row.subject_id].append(rule)
    known = roster.as_recipients(connection, list(agencies)).values()
    recipients = {agency.id: Recipient(agency.id, agency.sector, agency.standing) for agency in known}
    return Snapshots({row.id: row for row in rows}, grants, restrictions, recipients, keys, epochs, frozenset(bound))


def _grant(row: Row[tuple[Any, ...]]) -> Grant:
    categories = frozenset(row.categories)
    return Grant(row.id, row.agency, row.purpose, categories, row.valid_from, row.valid_until, row.ended_at is not None)
