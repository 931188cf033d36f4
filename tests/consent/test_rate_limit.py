"""Whoever guesses waits, from each address by itself; nobody else waits, and time gives everything back."""

from datetime import timedelta
from ipaddress import ip_network

import pytest
from starlette.requests import Request

from services.common.errors import Problem
from services.consent import rate_limit
from services.consent.credentials import Secrets
from services.consent.rate_limit import AT_ONCE, RateLimiter
from tests.support.clocks import StillClock


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def guard(clock: StillClock) -> RateLimiter:
    return RateLimiter(clock, Secrets(b"p" * 32))


def from_address(address: str | None, *forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", line.encode()) for line in forwarded]
    return Request({"type": "http", "headers": headers, "client": (address, 50_000) if address else None})


def spent(guard: RateLimiter, address: str | None, *forwarded: str, times: int = AT_ONCE + 1) -> int:
    """How many of so many checks were allowed."""
    allowed = 0
    for _ in range(times):
        try:
            guard.spend(from_address(address, *forwarded))
        except Problem as problem:
            told = (problem.status, problem.headers["Retry-After"])
            if told != (429, "2"):
                raise
        else:
            allowed += 1
    return allowed


def test_an_address_that_asks_too_often_waits_and_no_other_does(guard: RateLimiter) -> None:
    assert spent(guard, "192.0.2.1") == AT_ONCE
    assert spent(guard, "192.0.2.2") == AT_ONCE


def test_time_gives_back_and_never_more_than_there_was(guard: RateLimiter, clock: StillClock) -> None:
    spent(guard, "192.0.2.1")
    clock.move(timedelta(seconds=3))
    assert spent(guard, "192.0.2.1") == 3
    clock.move(timedelta(days=1))
    assert spent(guard, "192.0.2.1", times=3 * AT_ONCE) == AT_ONCE


def test_one_household_of_the_newer_addresses_is_one(guard: RateLimiter) -> None:
    assert spent(guard, "2001:db8::1") == AT_ONCE
    assert spent(guard, "2001:db8::2:3") == 0
    assert spent(guard, "2001:db8:0:1::1") == AT_ONCE


@pytest.mark.parametrize("address", [None, "testclient"])
def test_who_has_no_address_is_one_as_well(guard: RateLimiter, address: str | None) -> None:
    assert spent(guard, address) == AT_ONCE


def test_a_clock_that_goes_back_takes_nothing_away(guard: RateLimiter, clock: StillClock) -> None:
    spent(guard, "192.0.2.1", times=1)
    clock.move(timedelta(hours=-1))
    assert spent(guard, "192.0.2.1") == AT_ONCE - 1


def test_no_address_is_kept(guard: RateLimiter) -> None:
    spent(guard, "192.0.2.1", times=1)
    assert b"192.0.2" not in repr(guard._left).encode()


def test_a_crowd_of_addresses_does_not_fill_the_memory(
    guard: RateLimiter, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "KEPT", 100)
    for number in range(1000):
        spent(guard, f"10.0.{number // 256}.{number % 256}", times=1)
        clock.move(timedelta(seconds=0.1))
    assert len(guard._left) <= 100


def test_those_who_wait_are_not_forgotten_for_those_who_do_not(
    guard: RateLimiter, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "KEPT", 50)
    spent(guard, "192.0.2.1")
    for number in range(60):
        spent(guard, f"10.0.0.{number}", times=1)
        clock.move(timedelta(seconds=0.2))
    assert spent(guard, "192.0.2.1") <= 13, "twelve seconds later, not as if it had never asked"


PROXIES = [ip_network("10.0.0.0/24"), ip_network("2001:db8:f::/64")]


@pytest.fixture
def behind(clock: StillClock) -> RateLimiter:
    return RateLimiter(clock, Secrets(b"p" * 32), PROXIES)


def test_behind_a_trusted_proxy_each_caller_waits_by_itself(behind: RateLimiter) -> None:
    assert spent(behind, "10.0.0.7", "192.0.2.1") == AT_ONCE
    assert spent(behind, "10.0.0.8", "192.0.2.1") == 0, "whichever proxy it came through"
    assert spent(behind, "10.0.0.7", "192.0.2.2") == AT_ONCE
    assert spent(behind, "2001:db8:f::1", "192.0.2.2, 10.0.0.7") == 0, "through two of them"


def test_nobody_else_is_believed_about_an_address(guard: RateLimiter, behind: RateLimiter) -> None:
    for patient in (guard, behind):
        assert spent(patient, "192.0.2.9") == AT_ONCE
        assert [spent(patient, "192.0.2.9", f"198.51.100.{number}", times=1) for number in range(5)] == [0] * 5


def test_what_a_caller_wrote_before_the_proxy_did_buys_no_turns(behind: RateLimiter) -> None:
    assert spent(behind, "10.0.0.7", "192.0.2.1") == AT_ONCE
    assert spent(behind, "10.0.0.7", "198.51.100.1, 192.0.2.1") == 0
    assert spent(behind, "10.0.0.7", "198.51.100.1", "192.0.2.1") == 0
    assert spent(behind, "10.0.0.7", "10.0.0.9, 192.0.2.1") == 0


@pytest.mark.parametrize("forwarded", [[], [""], ["unknown"], ["10.0.0.8"], ["192.0.2.1:443"], ["a" * 5000]])
def test_a_proxy_that_names_nobody_is_one_caller(behind: RateLimiter, forwarded: list[str]) -> None:
    assert spent(behind, "10.0.0.7", *forwarded) == AT_ONCE
    assert spent(behind, "10.0.0.7", *forwarded) == 0


def test_an_old_address_in_new_clothes_is_the_same_caller(behind: RateLimiter) -> None:
    assert spent(behind, "::ffff:10.0.0.7", "192.0.2.1") == AT_ONCE
    assert spent(behind, "10.0.0.7", "::ffff:192.0.2.1") == 0
