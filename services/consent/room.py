"""What the consent service's handlers work with, gathered in one value that `main` fills."""

from dataclasses import dataclass

from services.common.clock import Clock
from services.common.database import Database
from services.common.jose import Signer
from services.common.outbox import Outbox
from services.consent.domain import Policy
from services.consent.duties import Duties
from services.consent.keys import KeyEncryptionKeys
from services.consent.locks import SubjectLocks
from services.consent.push import Pusher
from services.consent.secrets import Secrets
from services.consent.signing import LedgerKey
from services.consent.store.standing import Recipients


@dataclass(frozen=True, slots=True)
class Room:
    """The furniture of the survivor's room."""

    database: Database
    outbox: Outbox
    roster: Recipients
    locks: SubjectLocks
    keys: KeyEncryptionKeys
    secrets: Secrets
    ledger_key: LedgerKey
    policy: Policy
    duties: Duties
    signer: Signer
    pusher: Pusher
    clock: Clock
    public_url: str
