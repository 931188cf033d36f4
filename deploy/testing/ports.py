"""Finds free ports on loopback."""

import secrets
import socket
from collections import deque

# Below those from which systems serve outgoing connections (Linux: 32768 and up): such a connection could take a port between
# its finding and its use, or while the server that listens there starts again.
PORTS = range(20_000, 32_768)
AT_ONCE = 64
_promised: deque[socket.socket] = deque()


def free_port() -> int:
    """A port on which nothing listens, and of which no other process that asks here is told before it is in use."""
    while True:
        port = secrets.choice(PORTS)
        # Held open, the UDP port of the same number is the sign for others that this one is promised.
        promise = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            promise.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            promise.close()
            continue
        _promised.append(promise)
        if len(_promised) > AT_ONCE:
            _promised.popleft().close()
        return port
