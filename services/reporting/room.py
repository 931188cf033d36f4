"""What reporting works with, gathered in one value that `main` fills."""

from dataclasses import dataclass

from services.common.clock import Clock
from services.common.database import Database
from services.reporting.contributors import Contributors


@dataclass(frozen=True, slots=True)
class Room:
    """The furniture of the counting room."""

    database: Database
    clock: Clock
    contributors: Contributors
