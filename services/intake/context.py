"""The context that `main` builds and intake's handlers work with."""

import threading
from dataclasses import dataclass, field

from services.common.clock import Clock
from services.common.database.engine import Database
from services.common.messaging.outbox import Outbox
from services.intake.consent_client import ConsentClient


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a handler needs. `digest_key` keys the digests of posted events, so that nobody can guess their content."""

    database: Database
    outbox: Outbox
    consent: ConsentClient
    digest_key: bytes
    clock: Clock
    turn: threading.Lock = field(default_factory=threading.Lock)
