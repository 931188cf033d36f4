"""What the referral service's handlers work with, gathered in one value that `main` fills."""

from dataclasses import dataclass

from services.common.clock import Clock
from services.common.database import Database
from services.common.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Room:
    """The furniture of the sorting room."""

    database: Database
    outbox: Outbox
    clock: Clock
