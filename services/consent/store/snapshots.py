"""Reads everything that decisions rest on, for many survivors in a handful of queries, always from the primary."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select

from services.common.lists import listed, one_of
from services.common.roster import Agency
from services.consent.domain import Grant, Recipient, Restriction, Snapshot
from services.consent.models import grant, restriction, subject
from services.consent.store.standing import Recipients

# Put together once: they are asked for each request.
_SUBJECTS = select(subject).where(one_of(subject.c.id, "subjects"))
_GRANTS = select(grant).where(
    one_of(grant.c.subject_id, "subjects"), one_of(grant.c.agency, "agencies"), grant.c.ended_at.is_(None)
)
_RESTRICTIONS = select(restriction).where(
    one_of(restriction.c.subject_id, "subjects"), restriction.c.lifted_at.is_(None)
)


@dataclass(frozen=True, slots=True)
class Snapshots:
    """What was read, from which the snapshot of any of the survivors towards any of the agencies follows."""

    subjects: Mapping[UUID, Row[tuple[Any, ...]]]
    grants: Mapping[UUID, list[Grant]]
    restrictions: Mapping[UUID, list[Restriction]]
    agencies: Mapping[str, Agency]
    public_keys: Mapping[UUID, bytes]
    """To which parts are sealed, by grant."""

    def of(self, subject_id: UUID, agency: str) -> Snapshot:
        """One survivor towards one agency; a survivor who is not there counts as erased."""
        row, known = self.subjects.get(subject_id), self.agencies.get(agency)
        return Snapshot(
            state=row.state if row else "erased",
            epoch=row.epoch if row else 0,
            recipient=Recipient(known.id, known.sector, known.standing) if known else None,
            grants=[grant for grant in self.grants.get(subject_id, []) if grant.agency == agency],
            restrictions=self.restrictions.get(subject_id, []),
        )


def read_snapshots(
    connection: Connection, roster: Recipients, subjects: Collection[UUID], agencies: Collection[str]
) -> Snapshots:
    """Read survivors, their grants that have not ended, their restrictions in force, and the agencies."""
    about = {"subjects": listed(subjects), "agencies": listed(agencies)}
    rows = connection.execute(_SUBJECTS, about)
    grants, keys = defaultdict[UUID, list[Grant]](list), dict[UUID, bytes]()
    for row in connection.execute(_GRANTS, about):
        grants[row.subject_id].append(_grant(row))
        keys[row.id] = bytes(row.public_key)
    restrictions: dict[UUID, list[Restriction]] = defaultdict(list)
    for row in connection.execute(_RESTRICTIONS, about):
        rule = Restriction(row.id, row.agency, row.sector, row.category, row.purpose)
        restrictions[row.subject_id].append(rule)
    known = roster.as_recipients(connection, list(agencies))
    return Snapshots({row.id: row for row in rows}, grants, restrictions, known, keys)


def _grant(row: Row[tuple[Any, ...]]) -> Grant:
    # Of what is not a list of texts, nobody can say what it permits: then it permits nothing.
    listed: Any = row.categories
    readable = isinstance(listed, list) and all(isinstance(category, str) for category in listed)
    categories = frozenset(listed) if readable else frozenset[str]()
    return Grant(row.id, row.agency, row.purpose, categories, row.valid_from, row.valid_until, row.ended_at is not None)
