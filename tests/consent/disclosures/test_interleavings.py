"""Random orders of grant, revoke, pause, publish, open and crash on PostgreSQL: nothing leaves once she was told."""

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
from tests.support.schedule_explorer import PARTS, PATIENCE, Life, Stage, Story, play, sealed

IN_TEST, IN_SOAK, WITHOUT_LOCKS = 2_000, 100_000, 150
PROCESSES, SHARE, EACH_PERSON, TOLD_EVERY = 2, 100, 10, 1_000
# A database that forgets its last moments when its machine fails; processes die here, machines do not.
QUICK = quote("-c synchronous_commit=off")


@dataclass(frozen=True, slots=True)
class Work:
    """Some interleavings for one process to play."""

    url: str
    folder: Path
    seeds: Sequence[int]
    locked: bool


@dataclass(slots=True)
class Total:
    """What many interleavings came to."""

    late: list[int]
    played: int = 0
    sent: int = 0
    refused: int = 0
    died: int = 0

    def add(self, seed: int, story: Story) -> None:
        """Count one more."""
        self.played += 1
        self.sent += story.sent
        self.refused += story.refused
        self.died += story.died
        self.late += [seed] if story.late else []


def many(url: str, folder: Path, count: int, *, locked: bool = True) -> Total:
    """That many interleavings, from a seed that is printed; the same seeds are tried in the same order of draws."""
    start = SystemRandom().randrange(10**9)
    print(f"interleavings {start} to {start + count - 1}")
    shares = [range(first, min(first + SHARE, start + count)) for first in range(start, start + count, SHARE)]
    work = [Work(f"{url}?options={QUICK}", folder, share, locked) for share in shares]
    with _context(work[0]) as (context, _):
        upgrade(consent.NAME, context.database)
    total = Total([])
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        for done in pool.map(_play_all, work):
            for seed, story in done:
                total.add(seed, story)
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


def _play_all(work: Work) -> list[tuple[int, Story]]:
    """In a process of its own."""
    with _context(work) as (context, signer):
        stage = Stage(context, join(context, signer, "ngo").id, join(context, signer, "housing").id)
        beside = register(context, stage.sender)
        grants.give_grant(context, beside.subject, Wish(stage.recipient, "referral", sorted(PARTS)))
        stage = replace(stage, beside=sealed(stage, beside))
        lives = [Life(register(context, stage.sender)) for _ in work.seeds[::EACH_PERSON]]
        locks.BATCH_SECONDS = 0.02  # the wait of a batch in vain; hardly any of these is not in vain
        locks.EXCLUSIVE_SECONDS = 10 * PATIENCE  # a machine that stood still for a while proves nothing about orders
        return [(seed, play(stage, seed, lives[place // EACH_PERSON])) for place, seed in enumerate(work.seeds)]


def check(total: Total, count: int) -> None:
    assert total.played == count
    assert total.late == [], f"bytes left after she was told, with the seeds {total.late}"
    # Each kind of thing did happen, and often.
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
