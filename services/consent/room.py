"""What the consent service's handlers work with, gathered in one value that `main` fills."""

from dataclasses import dataclass

from services.common.clock import Clock
from services.common.database import Database
from services.common.outbox import Outbox
from services.common.roster import Roster
from services.consent.domain import Policy
from services.consent.keys import KeyEncryptionKeys
from services.consent.locks import SubjectLocks
from services.consent.secrets import Secrets
from services.consent.signing import LedgerKey


@dataclass(frozen=True, slots=True)
class Room:
    """The furniture of the survivor's room."""

    database: Database
    outbox: Outbox
    roster: Roster
    locks: SubjectLocks
    keys: KeyEncryptionKeys
    secrets: Secrets
    ledger_key: LedgerKey
    policy: Policy
    clock: Clock
    public_url: str
