"""An HTTP connection that tells when the kernel received each byte: the outside view of who was told what, and when.

Linux stamps each packet as it is handed over (socket(7), SO_TIMESTAMPNS; on the loopback that is the moment the sender's
kernel sends it). Time that the reader takes to come and fetch the bytes therefore does not count.
"""

import socket
import struct
from dataclasses import dataclass

SO_TIMESTAMPNS = 35
_STAMP = struct.Struct("qq")
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer with the arrival, in nanoseconds, of its first and of its last byte."""

    status: int
    content: bytes
    first: int
    last: int


class ClientConnection:
    """One connection, kept alive, with never more than one request on its way: so each stamp belongs to one answer.

    `window` limits what the receiving kernel takes in before anybody reads.
    """

    def __init__(self, port: int, window: int | None = None, seconds: float = 20.0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(seconds)
        if window is not None:
            # Before connecting: the window is agreed on in the handshake.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect(("127.0.0.1", port))

    def ask(self, request: bytes) -> Answer:
        """Send a request and read its answer."""
        self.socket.sendall(request)
        return self.read()

    def read(self) -> Answer:
        """Read one answer; raises `ConnectionError` when it ends too soon."""
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
        """What has arrived, and when its last byte did."""
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


class Watched(ClientConnection):
    """A line on which an answer can be read in pieces, or as far as it comes."""

    was_reset = False

    def rest(self, received: bytes) -> bytes:
        """What is still missing of an answer."""
        head, _, content = received.partition(b"\r\n\r\n")
        length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        missing = int(length.partition(b":")[2]) - len(content)
        more = b""
        while len(more) < missing:
            more += self.take()[0]
        return more

    def until_cut(self) -> tuple[bytes, int]:
        """Everything that arrives until the other side ends the connection, and when the last of it did."""
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
    """The bytes of a request on a connection that is kept."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0
