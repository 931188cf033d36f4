"""What reporting works with, gathered in one value that `main` fills."""

from dataclasses import dataclass

from services.common.clock import Clock
from services.common.database.engine import Database
from services.reporting.contributor_keys import Contributors


@dataclass(frozen=True, slots=True)
class Context:
    """The furniture of the counting room."""

    database: Database
    clock: Clock
    contributors: Contributors
