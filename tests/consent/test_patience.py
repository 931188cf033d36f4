"""Whoever guesses waits, from each address by itself; nobody else waits, and time gives everything back."""

from datetime import timedelta

import pytest
from starlette.requests import Request

from services.common.errors import Problem
from services.consent import patience
from services.consent.patience import AT_ONCE, Patience
from services.consent.secrets import Secrets
from tests.support.clocks import StillClock


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def guard(clock: StillClock) -> Patience:
    return Patience(clock, Secrets(b"p" * 32))


def from_address(address: str | None) -> Request:
    return Request({"type": "http", "headers": [], "client": (address, 50_000) if address else None})


def spent(guard: Patience, address: str | None, times: int = AT_ONCE + 1) -> int:
    """How many of so many checks were allowed."""
    allowed = 0
    for _ in range(times):
        try:
            guard.spend(from_address(address))
        except Problem as problem:
            told = (problem.status, problem.headers["Retry-After"])
            if told != (429, "2"):
                raise
        else:
            allowed += 1
    return allowed


def test_an_address_that_asks_too_often_waits_and_no_other_does(guard: Patience) -> None:
    assert spent(guard, "192.0.2.1") == AT_ONCE
    assert spent(guard, "192.0.2.2") == AT_ONCE


def test_time_gives_back_and_never_more_than_there_was(guard: Patience, clock: StillClock) -> None:
    spent(guard, "192.0.2.1")
    clock.move(timedelta(seconds=3))
    assert spent(guard, "192.0.2.1") == 3
    clock.move(timedelta(days=1))
    assert spent(guard, "192.0.2.1", 3 * AT_ONCE) == AT_ONCE


def test_one_household_of_the_newer_addresses_is_one(guard: Patience) -> None:
    assert spent(guard, "2001:db8::1") == AT_ONCE
    assert spent(guard, "2001:db8::2:3") == 0
    assert spent(guard, "2001:db8:0:1::1") == AT_ONCE


@pytest.mark.parametrize("address", [None, "testclient"])
def test_who_has_no_address_is_one_as_well(guard: Patience, address: str | None) -> None:
    assert spent(guard, address) == AT_ONCE


def test_a_clock_that_goes_back_takes_nothing_away(guard: Patience, clock: StillClock) -> None:
    spent(guard, "192.0.2.1", 1)
    clock.move(timedelta(hours=-1))
    assert spent(guard, "192.0.2.1") == AT_ONCE - 1


def test_no_address_is_kept(guard: Patience) -> None:
    spent(guard, "192.0.2.1", 1)
    assert b"192.0.2" not in repr(guard._left).encode()


def test_a_crowd_of_addresses_does_not_fill_the_memory(
    guard: Patience, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "KEPT", 100)
    for number in range(1000):
        spent(guard, f"10.0.{number // 256}.{number % 256}", 1)
        clock.move(timedelta(seconds=0.1))
    assert len(guard._left) <= 100


def test_those_who_wait_are_not_forgotten_for_those_who_do_not(
    guard: Patience, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "KEPT", 50)
    spent(guard, "192.0.2.1")
    for number in range(60):
        spent(guard, f"10.0.0.{number}", 1)
        clock.move(timedelta(seconds=0.2))
    assert spent(guard, "192.0.2.1") <= 13, "twelve seconds later, not as if it had never asked"
