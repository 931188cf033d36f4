"""Limits per agency and act: what is left is told, what is too much is refused, and it comes back with time."""

from datetime import timedelta

import pytest

from services.common.errors import Problem
from services.common.http.rate_limit import POLICIES, RateLimits
from tests.support.clocks import StillClock


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


def emptied(limits: RateLimits, act: str) -> Problem:
    """Spend everything that is left, and return the refusal that follows."""
    limits.spend("agency-a", act, POLICIES[act].quota)
    with pytest.raises(Problem) as caught:
        limits.spend("agency-a", act)
    return caught.value


def test_answer_tells_the_limit_and_what_is_left(clock: StillClock) -> None:
    limits = RateLimits(clock)
    assert limits.spend("agency-a", "her-word") == {
        "RateLimit-Policy": '"her-word";q=240;w=3600',
        "RateLimit": '"her-word";r=239;t=15',
    }
    assert limits.spend("agency-a", "her-word", 39)["RateLimit"] == '"her-word";r=200;t=600'


def test_act_beyond_the_limit_is_refused_until_time_passes(clock: StillClock) -> None:
    limits = RateLimits(clock)
    problem = emptied(limits, "her-word")
    assert (problem.status, problem.code) == (429, "quota-exceeded")
    assert problem.extra == {"violated-policies": ["her-word"]}
    assert problem.headers["Retry-After"] == "15"
    clock.move(timedelta(seconds=15))
    limits.spend("agency-a", "her-word")


def test_one_act_uses_up_no_other_and_no_other_agency(clock: StillClock) -> None:
    limits = RateLimits(clock)
    for act in POLICIES:
        emptied(limits, act)
        assert limits.spend("agency-b", act)
    fresh = RateLimits(clock)
    emptied(fresh, "events")
    assert fresh.spend("agency-a", "her-word")


def test_refused_act_costs_nothing(clock: StillClock) -> None:
    limits = RateLimits(clock)
    limits.spend("agency-a", "records", 100)
    with pytest.raises(Problem):
        limits.spend("agency-a", "records", 21)
    assert limits.spend("agency-a", "records", 20)["RateLimit"].startswith('"records";r=0;')


def test_batch_above_the_whole_quota_is_possible_once(clock: StillClock) -> None:
    limits = RateLimits(clock, factor=0.001)
    assert limits.spend("agency-a", "events", 500)["RateLimit-Policy"] == '"events";q=30;w=60'
    with pytest.raises(Problem):
        limits.spend("agency-a", "events", 500)


def test_clock_set_back_gives_nothing_back(clock: StillClock) -> None:
    limits = RateLimits(clock)
    emptied(limits, "links")
    clock.move(timedelta(hours=-1))
    with pytest.raises(Problem):
        limits.spend("agency-a", "links")
