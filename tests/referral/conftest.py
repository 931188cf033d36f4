"""The sorting room by itself, on each database; its clock stands still until a test moves it."""

import pytest

from services.common.database import Database
from services.common.migrations import upgrade
from services.referral import models
from services.referral.room import Room
from tests.support.clocks import StillClock


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def room(database: Database, clock: StillClock) -> Room:
    upgrade("referral", database)
    return Room(database, models.plumbing.outbox, clock)
