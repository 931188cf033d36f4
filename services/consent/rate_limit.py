"""Limits on slow checks: an address that asks for too many has to wait, and no account is ever locked.

Kept in memory of one process, under keyed hashes of addresses, so that no address is kept anywhere.
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
# Slow checks at once, running or waiting: of each kind, and of one account or code (a button was pressed twice). All kinds
# and their reserves together leave threads free, so that reading and revoking go on in any flood.
OF_ONE_KIND = 6
OF_ONE = 2
# A payer (an address, an agency) may hold this many times what is free. The more it holds the sooner it is refused, and
# alone it comes to four of six.
SHARE = 2
OF_ONE_PAYER = 4
# Places of each kind beyond these, for callers whose address and account hold none; one for the survivors of one agency.
RESERVE = 2
# Callers who wait for a PIN take turns by address; each address is one of so many lanes, which tell nothing about it.
LANES = 64
# Addresses count by household or phone: a whole IPv4 address, the network half of an IPv6 address.
PREFIX = {4: 32, 6: 64}


class RateLimiter:
    """A token bucket of slow checks for each address. Behind `proxies`, the address is the one that they forward."""

    def __init__(self, clock: Clock, secrets: Secrets, proxies: Sequence[Network] = ()) -> None:
        self._clock, self._secrets, self._proxies = clock, secrets, proxies
        self._left: dict[bytes, tuple[float, datetime]] = {}
        self._lock = Lock()

    def address(self, request: HTTPConnection) -> bytes:
        """Return the keyed hash of the caller's address; it is kept in memory alone."""
        return self._secrets.tag("address", _prefix(request, self._proxies))

    def lane(self, request: HTTPConnection, account: object) -> int:
        """Return the caller's lane for one account, a number below `LANES`. Many addresses share each."""
        named = self._secrets.tag("lane", f"{account}\x00{_prefix(request, self._proxies)}")
        return int.from_bytes(named[:4], "big") % LANES

    def spend(self, request: HTTPConnection) -> None:
        """Take one check from the caller's address; raise a 429 problem when none is left."""
        name, now = self.address(request), self._clock.now()
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
        """Drop addresses whose limit has refilled, and if that is not enough all of them: memory is finite."""
        if len(self._left) >= KEPT:
            self._left = {name: kept for name, kept in self._left.items() if self._now_left(name, now) < AT_ONCE}
        if len(self._left) >= KEPT:
            self._left.clear()


class ConcurrencyLimit:
    """Limits how many slow checks run or wait at once. A caller who finds it full is refused at once instead of waiting.

    The holder of many gives way first: each address and each agency has a share of the places of a kind, which shrinks as
    the places fill up. A caller whose account and address hold none has a reserve, whatever others hold.
    """

    def __init__(self) -> None:
        self._held = Counter[tuple[str, str, Hashable]]()
        self._lock = Lock()

    @contextmanager
    def place(self, kind: str, one: Hashable, address: Hashable = None, agency: Hashable = None) -> Iterator[None]:
        """Hold a place for a check of this kind, for one account or code; raise a 503 problem if none is free.

        `address` is the caller's, `agency` the one that registered the account, if that is known: both pay for the place.
        """
        names = {"one": one, "address": address, "agency": agency}
        payers = [(kind, name, who) for name, who in names.items() if who is not None]
        with self._lock:
            taken = self._taken(kind, payers)
            self._held.update(taken)
        try:
            yield
        finally:
            with self._lock:
                self._held.subtract(taken)
                self._held += Counter()  # drops the counts that are zero

    def _taken(self, kind: str, payers: Sequence[tuple[str, str, Hashable]]) -> list[tuple[str, str, Hashable]]:
        """Return what a place for these payers counts against; raise a 503 problem if they may hold none."""
        account, *sharing = payers
        shared, reserved = (kind, "all", "shared"), (kind, "all", "reserved")
        free = OF_ONE_KIND - self._held[shared]
        if self._held[account] < OF_ONE and free > 0 and all(self._held[payer] < SHARE * free for payer in sharing):
            return [shared, *payers]
        own = [(kind, "reserved for", who) for _, name, who in sharing if name == "agency"]
        holds_none = not any(self._held[payer] for payer in payers if payer[1] != "agency")
        if holds_none and self._held[reserved] < RESERVE and not any(self._held[payer] for payer in own):
            return [reserved, *own, *payers]
        raise unavailable("Too many are at this door. Nothing was changed; please try again.")


def slow_down(seconds: int) -> Problem:
    """Return the 429 problem for guesses that come too fast, with the seconds to wait."""
    return Problem(429, "slow-down", "Too many tries. Please wait a little.", headers={"Retry-After": str(seconds)})


def _prefix(request: HTTPConnection, proxies: Sequence[Network]) -> str:
    address = _caller(request, proxies)
    return str(ip_network((address, PREFIX[address.version]), strict=False)) if address else ""


def _caller(request: HTTPConnection, proxies: Sequence[Network]) -> IPv4Address | IPv6Address | None:
    """Return the client's address: the nearest hop that is not a trusted proxy. Anybody can write the hops before it."""
    named = [name.strip() for value in request.headers.getlist("x-forwarded-for") for name in value.split(",")]
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
