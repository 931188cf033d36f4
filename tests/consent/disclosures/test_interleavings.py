"""Random orders of grant, revoke, pause, seal, open and crash on PostgreSQL: no byte leaves after the survivor was told."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from random import SystemRandom
from urllib.parse import quote

import pytest

from deploy.testing.postgresql import PostgresServer
from services.common.auth.access_tokens import TokenKeys
from services.common.clock import SystemClock
from services.common.database.migrations import upgrade
from services.common.settings import Settings
from services.consent import locks
from services.consent import main as consent
from services.consent.context import Context
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Wish
from tests.support.consent import TokenSigner, join, register
from tests.support.consent_api import NoLocks
from tests.support.schedule_explorer import DEADLINE, PARTS, Outcome, Setting, Survivor, run_interleaving, sealed

IN_TEST, IN_SOAK, WITHOUT_LOCKS = 2_000, 100_000, 150
PROCESSES, SHARE, EACH_PERSON, TOLD_EVERY = 2, 100, 10, 1_000
# Faster commits that only a failing machine would lose; here processes die, machines do not.
QUICK = quote("-c synchronous_commit=off")


@dataclass(frozen=True, slots=True)
class Work:
    """Some interleavings for one process to run."""

    url: str
    folder: Path
    seeds: Sequence[int]
    locked: bool


@dataclass(slots=True)
class Total:
    """The sums of many interleavings."""

    late: list[int]
    played: int = 0
    sent: int = 0
    refused: int = 0
    died: int = 0

    def add(self, seed: int, outcome: Outcome) -> None:
        """Add one interleaving."""
        self.played += 1
        self.sent += outcome.sent
        self.refused += outcome.refused
        self.died += outcome.died
        self.late += [seed] if outcome.late else []


def many(url: str, folder: Path, count: int, *, locked: bool = True) -> Total:
    """Run `count` interleavings from a printed seed; equal seeds draw the same orders."""
    start = SystemRandom().randrange(10**9)
    print(f"interleavings {start} to {start + count - 1}")
    shares = [range(first, min(first + SHARE, start + count)) for first in range(start, start + count, SHARE)]
    work = [Work(f"{url}?options={QUICK}", folder, share, locked) for share in shares]
    with _context(work[0]) as (context, _):
        upgrade(consent.NAME, context.database)
    total = Total([])
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        for done in pool.map(_run_all, work):
            for seed, outcome in done:
                total.add(seed, outcome)
                if total.played % TOLD_EVERY == 0:
                    print(total, flush=True)
    print(total)
    return total


@contextmanager
def _context(work: Work) -> Iterator[tuple[Context, TokenSigner]]:
    settings = Settings(database_url=work.url, data=work.folder)
    signer = TokenSigner(settings.token_issuer, SystemClock())
    service = consent.build(settings, TokenKeys(keys=signer.public))
    try:
        context: Context = service.app.state.context  # type: ignore[attr-defined]
        yield context if work.locked else replace(context, locks=NoLocks(context.database)), signer
    finally:
        service.close()


def _run_all(work: Work) -> list[tuple[int, Outcome]]:
    """Run the interleavings of one process."""
    with _context(work) as (context, signer):
        setting = Setting(context, join(context, signer, "ngo").id, join(context, signer, "housing").id)
        beside = register(context, setting.sender)
        grants.give_grant(context, beside.subject, Wish(setting.recipient, "referral", sorted(PARTS)))
        setting = replace(setting, beside=sealed(setting, beside))
        survivors = [Survivor(register(context, setting.sender)) for _ in work.seeds[::EACH_PERSON]]
        locks.BATCH_SECONDS = 0.02  # a batch waits in vain for nearly every lock here
        locks.EXCLUSIVE_SECONDS = 10 * DEADLINE  # a machine that stood still for a while proves nothing about orders
        return [
            (seed, run_interleaving(setting, seed, survivors[place // EACH_PERSON]))
            for place, seed in enumerate(work.seeds)
        ]


def check(total: Total, count: int) -> None:
    assert total.played == count
    assert total.late == [], f"bytes left after she was told, with the seeds {total.late}"
    # Each kind of event happened, and often.
    assert min(total.sent, total.refused) > count / 2
    assert total.died > count / 50


@pytest.mark.slow
@pytest.mark.backend("postgresql")
def test_no_byte_leaves_after_revocation_in_thousands_of_orders(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    check(many(postgres_server.empty_database(), tmp_path, IN_TEST), IN_TEST)


@pytest.mark.slow
@pytest.mark.backend("postgresql")
def test_without_locks_bytes_leave_after_revocation(postgres_server: PostgresServer, tmp_path: Path) -> None:
    total = many(postgres_server.empty_database(), tmp_path, WITHOUT_LOCKS, locked=False)

    assert len(total.late) > WITHOUT_LOCKS / 20


@pytest.mark.soak
@pytest.mark.backend("postgresql")
def test_no_byte_leaves_after_revocation_in_100000_orders(postgres_server: PostgresServer, tmp_path: Path) -> None:
    check(many(postgres_server.empty_database(), tmp_path, IN_SOAK), IN_SOAK)
