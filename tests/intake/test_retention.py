"""Results of posted events are deleted after their time, and only then."""

from datetime import timedelta

import pytest

from services.common.errors import Problem
from services.common.retention import KEPT
from services.intake import handlers
from services.intake.posting import post
from tests.support.clocks import StillClock
from tests.support.running_intake import RunningIntake, capacity, event

MOMENT = timedelta(seconds=1)


def test_result_goes_after_its_time(running: RunningIntake, clock: StillClock) -> None:
    agency = running.agency()
    old, new = event(agency, capacity()), event(agency, capacity())
    post(running.context, agency, [old])
    clock.move(2 * MOMENT)
    post(running.context, agency, [new])

    clock.move(KEPT - 2 * MOMENT)
    assert handlers.delete_old(running.context) == 0
    clock.move(MOMENT)
    assert handlers.delete_old(running.context) == 1
    with pytest.raises(Problem, match="404"):
        handlers.find_result(running.context, agency, old["id"])
    assert handlers.find_result(running.context, agency, new["id"]).status == "accepted"
