"""The context of the referral service's handlers, gathered in one value that `main` fills."""

from dataclasses import dataclass

from services.common.clock import Clock
from services.common.database.engine import Database
from services.common.messaging.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that a handler of the referral service works with."""

    database: Database
    outbox: Outbox
    clock: Clock
