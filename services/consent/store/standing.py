"""The agencies as recipients: whoever is late with acknowledging notices stands behind until it has caught up."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, Table, select

from services.common.clock import Clock
from services.common.roster import Agency, Roster
from services.consent.paperwork import notice

BEHIND = "behind"
"""A standing that no decision takes for active; the agency may still call, or it could never catch up."""


class Recipients(Roster):
    """Consent's roster, which also knows who is behind. Asked at each decision: nobody has to mark anything."""

    def __init__(self, table: Table, clock: Clock) -> None:
        super().__init__(table)
        self._clock = clock

    def as_recipients(self, connection: Connection, ids: Sequence[str]) -> Mapping[str, Agency]:
        """Those of the agencies that are known, each with the standing that counts for what it may receive."""
        overdue = select(notice.c.agency).where(
            notice.c.agency.in_(ids), notice.c.acknowledged_at.is_(None), notice.c.acknowledge_by <= self._clock.now()
        )
        behind = set(connection.scalars(overdue.distinct()))
        known = self.find(connection, ids)
        return {
            name: replace(agency, standing=BEHIND) if name in behind and agency.standing == "active" else agency
            for name, agency in known.items()
        }
