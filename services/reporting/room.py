"""What reporting's pages work with, gathered in one value that `main` fills."""

from dataclasses import dataclass

from services.common.clock import Clock
from services.common.database import Database


@dataclass(frozen=True, slots=True)
class Room:
    """The furniture of the counting room."""

    database: Database
    clock: Clock
