"""Counts connections by the address that holds them, and chooses which one gives way when there are too many."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Protocol

from services.common.clock import monotonic
from services.common.settings import Network

# Addresses count by household or phone: a whole IPv4 address, the network half of an IPv6 address.
PREFIX = {4: 32, 6: 64}
PARTS = 4
"""An address may hold one of so many parts of all connections."""
SPARE, FEWER_SECONDS = 8, 60.0
KEY = "fireweed"
"""Name of the scope extension that tells an application which address a request comes from."""
Holder = str | None
"""The address that holds a connection; None for a trusted proxy that has not named its client."""


class Connection(Protocol):
    """A connection of which can be asked how long its client has been silent."""

    def stalled_since(self) -> float:
        """Return the monotonic time since which the client has to send or to read; infinity while it waits for an answer."""
        ...

    def cut(self) -> None:
        """End the connection at once."""
        ...


class Shares:
    """The open connections of one server, by holder.

    A trusted proxy's connections are held by the clients that it names. Those without a named client count one by one, since
    a limit on the proxy would be a limit on everybody.
    """

    def __init__(self) -> None:
        # Dictionaries, because they keep the order in which the connections were made.
        self._held: dict[Holder, dict[Connection, None]] = {}
        self._all = 0
        self._fewer, self._fewer_until = 0, 0.0

    def __len__(self) -> int:
        return self._all

    def add(self, connection: Connection, holder: Holder) -> None:
        """Count a connection."""
        self._held.setdefault(holder, {})[connection] = None
        self._all += 1

    def remove(self, connection: Connection, holder: Holder) -> None:
        """Count a connection no more; does nothing if it is not counted."""
        held = self._held.get(holder, {})
        if connection not in held:
            return
        del held[connection]
        self._all -= 1
        if not held:
            del self._held[holder]

    def gives_way(self, holder: Holder, most: int) -> Connection | None:
        """Return the connection that has to end because this holder has just got one more, None if there is place for it.

        `most` is the greatest number of all connections. A holder of more than its share loses one of its own.
        """
        if monotonic() < self._fewer_until:
            most = min(most, self._fewer)
        if holder is not None and len(self._held[holder]) > max(most // PARTS, 1):
            return _longest_stalled([self._held[holder]])
        return self.next_to_go() if self._all > most else None

    def make_spare(self) -> None:
        """End an eighth of the connections, since no file descriptor is left; keep to the lower number for a minute."""
        self._fewer, self._fewer_until = max(self._all - self._all // SPARE - 1, 1), monotonic() + FEWER_SECONDS
        while self._all > self._fewer and (last := self.next_to_go()):
            last.cut()

    def next_to_go(self) -> Connection | None:
        """Return the longest stalled connection of the holder of the most, None if there are no connections."""
        largest = max((len(held) for holder, held in self._held.items() if holder is not None), default=1)
        all_alike = largest == 1
        chosen = [
            held for holder, held in self._held.items() if all_alike or (holder is not None and len(held) == largest)
        ]
        return _longest_stalled(chosen) if chosen else None


def holder_of(host: str, forwarded: Sequence[str], proxies: Sequence[Network]) -> Holder:
    """Return the address that pays for a connection from `host`, None for a trusted proxy that names no client.

    `forwarded` are the values of `X-Forwarded-For`. The nearest hop that is not a trusted proxy counts, since anybody can
    write the hops before it.
    """
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    caller = _address(host)
    if caller is None:
        return host
    while any(caller in network for network in proxies):
        caller = _address(hops.pop()) if hops else None
        if caller is None:
            return None
    return str(ip_network((caller, PREFIX[caller.version]), strict=False))


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(name)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _longest_stalled(groups: Sequence[dict[Connection, None]]) -> Connection:
    # Newest first: of connections that all wait for an answer, the last one to come gives way.
    every = [connection for group in groups for connection in reversed(group)]
    return min(every, key=lambda connection: connection.stalled_since())
