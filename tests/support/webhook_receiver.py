"""A receiver of webhooks that answers as a test tells it, byte by byte if need be, and keeps what it got."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def status(code: int, *headers: str, body: bytes = b"") -> bytes:
    """Return an answer with a status and more headers."""
    lines = [f"HTTP/1.1 {code} Sample", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass(slots=True)
class Receiver:
    """Its URL; what it answers next, `then` for ever after; and the headers and body of each webhook that it got."""

    url: str
    then: bytes = OK
    endless: bytes = b""
    next: list[bytes] = field(default_factory=list)
    got: list[tuple[Mapping[str, str], str]] = field(default_factory=list)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Serve a receiver on this machine."""
    listener = socket.create_server(("127.0.0.1", 0))
    made = Receiver(f"http://127.0.0.1:{listener.getsockname()[1]}/hook")
    thread = threading.Thread(target=_serve, args=(listener, made), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        # A thread that waits in `accept` is woken by this, not by `close`.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def _serve(listener: socket.socket, made: Receiver) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                _answer(connection, made)


def _answer(connection: socket.socket, made: Receiver) -> None:
    with connection.makefile("rb") as reading:
        reading.readline()
        headers = dict[str, str]()
        while line := reading.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        made.got.append((headers, reading.read(int(headers["content-length"])).decode()))
    connection.sendall(made.next.pop(0) if made.next else made.then)
    while made.endless:
        connection.sendall(made.endless)
