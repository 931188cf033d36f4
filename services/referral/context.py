"""What the referral service's handlers work with, gathered in one value that `main` fills."""

from dataclasses import dataclass

from services.common.clock import Clock
from services.common.database.engine import Database
from services.common.messaging.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Context:
    """The furniture of the sorting room."""

    database: Database
    outbox: Outbox
    clock: Clock
