"""The referral service by itself, on each database; its clock stands still until a test moves it."""

import pytest

from services.common.database.engine import Database
from services.common.database.migrations import upgrade
from services.referral import models
from services.referral.context import Context
from tests.support.clocks import StillClock


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def context(database: Database, clock: StillClock) -> Context:
    upgrade("referral", database)
    return Context(database, models.plumbing.outbox, clock)
