"""Test the rate limit: each address waits by itself after too many guesses, and time restores its tries."""

from collections.abc import Hashable, Iterable
from contextlib import ExitStack
from datetime import timedelta
from ipaddress import ip_network

import pytest
from starlette.requests import Request

from services.common.errors import Problem
from services.consent import rate_limit
from services.consent.credentials import Secrets
from services.consent.rate_limit import (
    AT_ONCE,
    LANES,
    OF_ONE,
    OF_ONE_KIND,
    OF_ONE_PAYER,
    RESERVE,
    ConcurrencyLimit,
    RateLimiter,
)
from tests.support.clocks import StillClock


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def guard(clock: StillClock) -> RateLimiter:
    return RateLimiter(clock, Secrets(b"p" * 32))


def from_address(address: str | None, *forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return Request({"type": "http", "headers": headers, "client": (address, 50_000) if address else None})


def spent(guard: RateLimiter, address: str | None, *forwarded: str, times: int = AT_ONCE + 1) -> int:
    """Ask for so many checks; return how many were allowed."""
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


def test_each_address_has_its_own_limit(guard: RateLimiter) -> None:
    assert spent(guard, "192.0.2.1") == AT_ONCE
    assert spent(guard, "192.0.2.2") == AT_ONCE


def test_limit_refills_with_time_up_to_its_maximum(guard: RateLimiter, clock: StillClock) -> None:
    spent(guard, "192.0.2.1")
    clock.move(timedelta(seconds=3))
    assert spent(guard, "192.0.2.1") == 3
    clock.move(timedelta(days=1))
    assert spent(guard, "192.0.2.1", times=3 * AT_ONCE) == AT_ONCE


def test_ipv6_addresses_of_one_network_share_a_limit(guard: RateLimiter) -> None:
    """The network half (64 bits) of an IPv6 address stands for one household."""
    assert spent(guard, "2001:db8::1") == AT_ONCE
    assert spent(guard, "2001:db8::2:3") == 0
    assert spent(guard, "2001:db8:0:1::1") == AT_ONCE


@pytest.mark.parametrize("address", [None, "testclient"])
def test_callers_without_address_share_a_limit(guard: RateLimiter, address: str | None) -> None:
    assert spent(guard, address) == AT_ONCE


def test_clock_set_back_does_not_reduce_the_limit(guard: RateLimiter, clock: StillClock) -> None:
    spent(guard, "192.0.2.1", times=1)
    clock.move(timedelta(hours=-1))
    assert spent(guard, "192.0.2.1") == AT_ONCE - 1


def test_limiter_stores_no_address(guard: RateLimiter) -> None:
    spent(guard, "192.0.2.1", times=1)
    assert b"192.0.2" not in repr(guard._left).encode()


def test_limiter_keeps_a_bounded_number_of_addresses(
    guard: RateLimiter, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "KEPT", 100)
    for number in range(1000):
        spent(guard, f"10.0.{number // 256}.{number % 256}", times=1)
        clock.move(timedelta(seconds=0.1))
    assert len(guard._left) <= 100


def test_limited_address_is_kept_when_refilled_ones_are_dropped(
    guard: RateLimiter, clock: StillClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When memory is full, addresses whose limit has refilled are dropped first."""
    monkeypatch.setattr(rate_limit, "KEPT", 50)
    spent(guard, "192.0.2.1")
    for number in range(60):
        spent(guard, f"10.0.0.{number}", times=1)
        clock.move(timedelta(seconds=0.2))
    assert spent(guard, "192.0.2.1") <= 13, "its tries of twelve seconds, not a full limit"


PROXIES = [ip_network("10.0.0.0/24"), ip_network("2001:db8:f::/64")]


@pytest.fixture
def proxied(clock: StillClock) -> RateLimiter:
    return RateLimiter(clock, Secrets(b"p" * 32), PROXIES)


def test_callers_behind_a_trusted_proxy_have_their_own_limits(proxied: RateLimiter) -> None:
    assert spent(proxied, "10.0.0.7", "192.0.2.1") == AT_ONCE
    assert spent(proxied, "10.0.0.8", "192.0.2.1") == 0, "another proxy, but the same caller"
    assert spent(proxied, "10.0.0.7", "192.0.2.2") == AT_ONCE
    assert spent(proxied, "2001:db8:f::1", "192.0.2.2, 10.0.0.7") == 0, "through two proxies, but the same caller"


def test_forwarded_header_from_untrusted_client_is_ignored(guard: RateLimiter, proxied: RateLimiter) -> None:
    for limiter in (guard, proxied):
        assert spent(limiter, "192.0.2.9") == AT_ONCE
        assert [spent(limiter, "192.0.2.9", f"198.51.100.{number}", times=1) for number in range(5)] == [0] * 5


def test_forwarded_addresses_before_the_nearest_hop_are_ignored(proxied: RateLimiter) -> None:
    """A caller can write anything there, so changing it must not give a new limit."""
    assert spent(proxied, "10.0.0.7", "192.0.2.1") == AT_ONCE
    assert spent(proxied, "10.0.0.7", "198.51.100.1, 192.0.2.1") == 0
    assert spent(proxied, "10.0.0.7", "198.51.100.1", "192.0.2.1") == 0
    assert spent(proxied, "10.0.0.7", "10.0.0.9, 192.0.2.1") == 0


@pytest.mark.parametrize("forwarded", [[], [""], ["unknown"], ["10.0.0.8"], ["192.0.2.1:443"], ["a" * 5000]])
def test_proxy_naming_no_caller_has_one_limit(proxied: RateLimiter, forwarded: list[str]) -> None:
    assert spent(proxied, "10.0.0.7", *forwarded) == AT_ONCE
    assert spent(proxied, "10.0.0.7", *forwarded) == 0


def test_ipv4_mapped_address_shares_a_limit_with_ipv4(proxied: RateLimiter) -> None:
    assert spent(proxied, "::ffff:10.0.0.7", "192.0.2.1") == AT_ONCE
    assert spent(proxied, "10.0.0.7", "::ffff:192.0.2.1") == 0


def test_lane_is_one_of_few_and_differs_by_survivor(guard: RateLimiter) -> None:
    """It tells callers apart, and is worth nothing to somebody who reads the database and looks for an address."""
    addresses = [from_address(f"10.0.{number // 256}.{number % 256}") for number in range(2000)]
    lanes = [guard.lane(address, "her") for address in addresses]
    assert set(lanes) == set(range(LANES))
    assert lanes == [guard.lane(address, "her") for address in addresses]
    assert lanes != [guard.lane(address, "another") for address in addresses]
    assert guard.lane(from_address("2001:db8::1"), "her") == guard.lane(from_address("2001:db8::2:3"), "her")


Caller = tuple[Hashable, Hashable, Hashable]


def held(stack: ExitStack, limit: ConcurrencyLimit, kind: str, callers: Iterable[Caller]) -> int:
    """Let callers (account, address, agency) take places until the stack ends; return how many got one."""
    got = 0
    for one, address, agency in callers:
        try:
            stack.enter_context(limit.place(kind, one, address, agency))
        except Problem:
            continue
        got += 1
    return got


@pytest.mark.parametrize("kind", ["pin", "claim"])
@pytest.mark.parametrize(
    "flood",
    [
        [(number % 3, "10.0.0.1", "rogue") for number in range(9)],
        [(number, "10.0.0.1", None) for number in range(100)],
        [(number % 3, f"10.0.0.{number}", "rogue") for number in range(9)],
        [(number, f"10.0.0.{number % 2}", f"rogue-{number % 2}") for number in range(100)],
    ],
    ids=["one agency's survivors", "one address", "one agency, many addresses", "two agencies"],
)
def test_flood_leaves_places_for_others(kind: str, flood: list[Caller]) -> None:
    limit = ConcurrencyLimit()
    with ExitStack() as stack:
        assert held(stack, limit, kind, flood) <= OF_ONE_KIND + 1
        assert held(stack, limit, kind, [("her", "192.0.2.1", "her agency")]) == 1
        assert held(stack, limit, kind, [("another", "192.0.2.2", "another agency")]) == 1


def test_flooding_agency_leaves_its_other_survivors_a_place() -> None:
    """Each of its made-up survivors holds what she can from one address; a survivor elsewhere has the reserve."""
    limit = ConcurrencyLimit()
    with ExitStack() as stack:
        assert held(stack, limit, "pin", [(number % 3, "10.0.0.1", "rogue") for number in range(9)]) == OF_ONE_PAYER
        hers = ("her", "192.0.2.1", "rogue")
        assert held(stack, limit, "pin", [hers]) == 1


def test_lone_payer_may_hold_most_places_of_each_kind() -> None:
    limit = ConcurrencyLimit()
    with ExitStack() as stack:
        for kind in ("pin", "claim"):
            assert held(stack, limit, kind, [(number, "10.0.0.1", None) for number in range(9)]) == OF_ONE_PAYER
        assert held(stack, limit, "new", [("her", "10.0.0.1", None)] * 9) == OF_ONE
    assert not limit._held


def test_all_places_together_leave_threads_free() -> None:
    """A synchronous route runs on one of 40 threads, and there are four kinds of slow checks."""
    limit = ConcurrencyLimit()
    with ExitStack() as stack:
        crowd = [(number, number, number) for number in range(100)]
        taken = [held(stack, limit, kind, crowd) for kind in ("passphrase", "claim", "pin", "new")]
    assert taken == [OF_ONE_KIND + RESERVE] * 4
    assert sum(taken) <= 32
