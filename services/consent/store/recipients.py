"""The agencies as recipients: one that is late with acknowledging notices receives nothing until it has caught up."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, Table, bindparam, exists

from services.common.clock import Clock
from services.common.database.column_types import Instant
from services.common.database.list_parameters import listed
from services.common.roster import Agency, Roster
from services.consent.models import notice

BEHIND = "behind"
"""A standing that no decision takes for active; the agency may still call, or it could never catch up."""


class Recipients(Roster):
    """Consent's roster, which computes at each decision which agencies are behind, so that nothing has to mark them."""

    def __init__(self, table: Table, clock: Clock) -> None:
        super().__init__(table)
        self._clock = clock
        late = notice.c.acknowledged_at.is_(None) & (notice.c.acknowledge_by <= bindparam("now", type_=Instant))
        self._as_recipients = self._among.add_columns(exists().where(notice.c.agency == table.c.id, late))

    def as_recipients(self, connection: Connection, ids: Sequence[str]) -> Mapping[str, Agency]:
        """Return the known agencies by id, each with the standing that counts for what it may receive."""
        rows = connection.execute(self._as_recipients, {"ids": listed(ids), "now": self._clock.now()})
        return {
            agency.id: replace(agency, standing=BEHIND) if behind and agency.standing == "active" else agency
            for *known, behind in rows
            for agency in [Agency(*known)]
        }
