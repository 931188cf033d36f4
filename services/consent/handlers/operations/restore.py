"""Ends all grants after an older copy of the database was restored: what she has taken back since must not flow again."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from services.common.errors import Problem
from services.consent.context import Context
from services.consent.handlers.grants import pending
from services.consent.handlers.grants.changes import changing
from services.consent.ledger import entries as ledger
from services.consent.models import audit_key, safe_contact
from services.consent.store import keys as key_store
from services.consent.store import permissions, personal_records

PAGE = 500


@dataclass(frozen=True, slots=True)
class Ended:
    """Counts: grants ended, survivors skipped because something held their lock, lost keys given up."""

    grants: int
    held: int
    given_up: int


def end_everything(context: Context, told: Callable[[int], None]) -> Ended:
    """End all grants and pending grants: nobody can tell which of them were taken back after the copy was made.

    A key that no key-encryption key opens would stop every rotation, and with it the destruction of revoked keys. Such keys
    are given up, and what they sealed stays unreadable. `told` receives the number of survivors done so far.
    """
    ended = held = done = 0
    after: UUID | None = None
    while page := _holders(context, after):
        for subject in page:
            try:
                ended += _end(context, subject)
            except Problem:
                held += 1
        after, done = page[-1], done + len(page)
        told(done)
    return Ended(ended, held, _give_up_lost_keys(context))


def _holders(context: Context, after: UUID | None) -> list[UUID]:
    with context.database.reading() as connection:
        return list(permissions.holders(connection, after, PAGE))


def _end(context: Context, subject: UUID) -> int:
    with changing(context, subject) as change:
        live = permissions.live_grants(change.connection, subject)
        change.end(live, "restored")
        pending.take_back(change)
    return len(live)


def _give_up_lost_keys(context: Context) -> int:
    given_up = 0
    for table, secrets, give_up in (
        (audit_key, key_store.audit_secrets, ledger.begin_anew),
        (safe_contact, key_store.contact_secrets, personal_records.forget_contact),
    ):
        after: UUID | None = None
        while True:
            with context.database.transaction() as connection:
                names = [row.name for row in key_store.live_keys(connection, table, after, PAGE)]
                if not names:
                    break
                lost = [
                    name
                    for name, secret in secrets(connection, context.keys, names).items()
                    if secret == key_store.LOST
                ]
                for name in lost:
                    give_up(connection, name)
            after, given_up = names[-1], given_up + len(lost)
    return given_up
