"""The value that the consent service's handlers work with; `main` fills it."""

from dataclasses import dataclass

from services.common.auth.jose import Signer
from services.common.clock import Clock
from services.common.database.engine import Database
from services.common.messaging.outbox import Outbox
from services.consent.agency_quotas import RefusalBudget
from services.consent.credentials import Secrets
from services.consent.domain import Policy
from services.consent.key_encryption import KeyEncryptionKeys
from services.consent.ledger.signing import LedgerKey
from services.consent.locks import SubjectLocks
from services.consent.notice_delivery import Pusher
from services.consent.policy import DutyRules
from services.consent.store.recipients import Recipients


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that a handler needs beyond its arguments."""

    database: Database
    outbox: Outbox
    roster: Recipients
    locks: SubjectLocks
    keys: KeyEncryptionKeys
    secrets: Secrets
    ledger_key: LedgerKey
    policy: Policy
    duty_rules: DutyRules
    refusals: RefusalBudget
    signer: Signer
    pusher: Pusher
    clock: Clock
    public_url: str
