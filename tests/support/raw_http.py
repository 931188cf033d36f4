"""A raw HTTP client connection that reports when the kernel received each byte.

Linux stamps each packet at arrival (socket(7), SO_TIMESTAMPNS; on the loopback that is the moment the sender's kernel sends
it). The time until the reader fetches the bytes therefore does not count.
"""

import socket
import struct
from dataclasses import dataclass

SO_TIMESTAMPNS = 35
_STAMP = struct.Struct("qq")
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer with the arrival times of its first and of its last byte, in nanoseconds."""

    status: int
    content: bytes
    first: int
    last: int


class ClientConnection:
    """A kept-alive connection with at most one request under way, so that each time stamp belongs to one answer.

    `window` limits how many bytes the receiving kernel buffers before the test reads.
    """

    def __init__(self, port: int, window: int | None = None, seconds: float = 20.0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(seconds)
        if window is not None:
            # Set before connecting, because the handshake negotiates the window.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect(("127.0.0.1", port))

    def ask(self, request: bytes) -> Answer:
        """Send a request and read its answer."""
        self.socket.sendall(request)
        return self.read()

    def read(self) -> Answer:
        """Read one answer; raise `ConnectionError` if the connection ends before its end."""
        received, stamps, size = bytearray(), list[int](), None
        while size is None or len(received) < size:
            chunk, stamp = self.take()
            received += chunk
            stamps.append(stamp)
            if size is None and (end := received.find(b"\r\n\r\n")) >= 0:
                size = end + 4 + _content_length(bytes(received[:end]))
        head, _, content = bytes(received).partition(b"\r\n\r\n")
        return Answer(int(head[9:12]), content, stamps[0], max(stamps))

    def take(self) -> tuple[bytes, int]:
        """Return the bytes that have arrived and the arrival time of the last one; raise `ConnectionError` at the end."""
        chunk, extra, _, _ = self.socket.recvmsg(_CHUNK, socket.CMSG_SPACE(_STAMP.size))
        if not chunk:
            raise ConnectionError("the connection has ended")
        for level, kind, data in extra:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, nanoseconds = _STAMP.unpack(data)
                return chunk, seconds * 10**9 + nanoseconds
        raise AssertionError("the kernel gave no arrival time")

    def close(self) -> None:
        """End the connection."""
        self.socket.close()


class PartialReader(ClientConnection):
    """A connection on which a test can read an answer in pieces, or as far as it arrives."""

    was_reset = False

    def rest(self, received: bytes) -> bytes:
        """Read and return the part of an answer that follows the bytes received so far."""
        head, _, content = received.partition(b"\r\n\r\n")
        length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        missing = int(length.partition(b":")[2]) - len(content)
        more = b""
        while len(more) < missing:
            more += self.take()[0]
        return more

    def until_cut(self) -> tuple[bytes, int]:
        """Return all bytes until the other side ends the connection, and the arrival time of the last one."""
        arrived, last = b"", 0
        try:
            while True:
                chunk, last = self.take()
                arrived += chunk
        except ConnectionError as error:
            self.was_reset = isinstance(error, ConnectionResetError)
        self.close()
        return arrived, last


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Return the bytes of a request that keeps the connection open."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0
