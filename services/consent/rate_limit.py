"""Patience with whoever guesses or floods: who asks for too many slow checks waits; nobody is ever locked out.

Kept in memory of one process, under names that only the hub's pepper gives, so that no address is kept anywhere.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from threading import Lock

from starlette.requests import HTTPConnection

from services.common.clock import Clock
from services.common.errors import Problem, unavailable
from services.common.settings import Network
from services.consent.credentials import Secrets

AT_ONCE = 30
PER_SECOND = 1.0
KEPT = 10_000
# Of each kind of slow check, so many at once, at work or waiting; and of one account or code a few, such as a button that
# was pressed twice. All kinds together leave threads over, so that looking and taking away go on in any flood.
IN_LINE = 6
OF_ONE = 2
# One household, one phone: all of an IPv4 address, the network half of an IPv6 address.
PREFIX = {4: 32, 6: 64}


class RateLimiter:
    """How many slow checks each address may still ask for; time gives them back. `proxies` say whom they speak for."""

    def __init__(self, clock: Clock, secrets: Secrets, proxies: Sequence[Network] = ()) -> None:
        self._clock, self._secrets, self._proxies = clock, secrets, proxies
        self._left: dict[bytes, tuple[float, datetime]] = {}
        self._lock = Lock()

    def spend(self, request: HTTPConnection) -> None:
        """Take one check from the caller's address; raises a 429 problem when none is left for the moment."""
        name, now = self._secrets.tag("address", _prefix(request, self._proxies)), self._clock.now()
        with self._lock:
            left = self._now_left(name, now)
            if left >= 1:
                self._forget_refilled(now)
                self._left[name] = (left - 1, now)
        if left < 1:
            raise slow_down(2)

    def _now_left(self, name: bytes, now: datetime) -> float:
        left, since = self._left.get(name, (float(AT_ONCE), now))
        return min(AT_ONCE, left + max(0.0, (now - since).total_seconds()) * PER_SECOND)

    def _forget_refilled(self, now: datetime) -> None:
        """Forget those who have waited long enough, and if that is not enough everybody: memory is finite."""
        if len(self._left) >= KEPT:
            self._left = {name: kept for name, kept in self._left.items() if self._now_left(name, now) < AT_ONCE}
        if len(self._left) >= KEPT:
            self._left.clear()


class ConcurrencyLimit:
    """Who waits for a slow check. Whoever finds it full is told at once: it would hold up everybody else by waiting."""

    def __init__(self) -> None:
        self._kinds, self._ones = Counter[str](), Counter[tuple[str, Hashable]]()
        self._lock = Lock()

    @contextmanager
    def place(self, kind: str, one: Hashable) -> Iterator[None]:
        """A place while a check of this kind goes on, for one account or code; raises a 503 problem if there is none."""
        with self._lock:
            if self._kinds[kind] >= IN_LINE or self._ones[kind, one] >= OF_ONE:
                raise unavailable("Too many are at this door. Nothing was changed; please try again.")
            self._kinds[kind] += 1
            self._ones[kind, one] += 1
        try:
            yield
        finally:
            with self._lock:
                self._kinds[kind] -= 1
                self._ones[kind, one] -= 1
                self._ones += Counter()  # forgets who is not there any more


def slow_down(seconds: int) -> Problem:
    """What whoever guesses too fast is told."""
    return Problem(429, "slow-down", "Too many tries. Please wait a little.", headers={"Retry-After": str(seconds)})


def _prefix(request: HTTPConnection, proxies: Sequence[Network]) -> str:
    address = _caller(request, proxies)
    return str(ip_network((address, PREFIX[address.version]), strict=False)) if address else ""


def _caller(request: HTTPConnection, proxies: Sequence[Network]) -> IPv4Address | IPv6Address | None:
    """Who calls; behind trusted proxies, the nearest that is none of them. Whatever stands before that anybody may write."""
    named = [name.strip() for line in request.headers.getlist("x-forwarded-for") for name in line.split(",")]
    caller = _address(request.client.host if request.client else "")
    while named and caller and any(caller in network for network in proxies):
        caller = _address(named.pop()) or caller
    return caller


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(name)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
