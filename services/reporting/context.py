"""The context of reporting's handlers, gathered in one value that `main` fills."""

from dataclasses import dataclass

from services.common.clock import Clock
from services.common.database.engine import Database
from services.reporting.contributor_keys import Contributors


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that a handler of reporting works with."""

    database: Database
    clock: Clock
    contributors: Contributors
