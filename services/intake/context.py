"""What intake's handlers work with, gathered in one value that `main` fills."""

import threading
from dataclasses import dataclass, field

from services.common.clock import Clock
from services.common.database.engine import Database
from services.common.messaging.outbox import Outbox
from services.intake.consent_client import ConsentGate


@dataclass(frozen=True, slots=True)
class Context:
    """The furniture of the front door. `digest_key` makes digests of posted events that nobody can guess at."""

    database: Database
    outbox: Outbox
    consent: ConsentGate
    digest_key: bytes
    clock: Clock
    turn: threading.Lock = field(default_factory=threading.Lock)
