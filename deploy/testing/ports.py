"""Finds free ports on loopback."""

import secrets
import socket
from collections import deque

# Below the ports of outgoing connections (Linux: 32768 and up): such a connection could take a port before a server uses it,
# or while the server on it restarts.
PORTS = range(20_000, 32_768)
AT_ONCE = 64
_promised: deque[socket.socket] = deque()


def free_port() -> int:
    """Return a free port that no other call, in any process, returns before it is in use."""
    while True:
        port = secrets.choice(PORTS)
        # An open UDP socket with the same number marks the port as promised.
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
