"""Runs an application under uvicorn in such a way that a sent answer has really left this process."""

import asyncio
import fcntl
import resource
import signal
import socket
import struct
import sys
import termios
import threading
from collections.abc import Mapping
from math import inf
from typing import Any
from weakref import WeakKeyDictionary

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.common.clock import monotonic
from services.common.errors import not_found
from services.common.http.app import problem_response

Address = tuple[str, int]
_transports: dict[tuple[Address, Address], asyncio.Transport] = {}
_kept_at_end: WeakKeyDictionary[asyncio.Transport, int | None] = WeakKeyDictionary()
# Seconds between looks at what the kernel still keeps: short at first, for answers that are gone at once.
FIRST_LOOK, LONGEST_LOOK = 0.0002, 0.01
# What is still unanswered so long after the server was told to end never will be: whoever stalls cannot hold up a stop.
# Longer than any act may wait for her lock, shorter than the time after which an orchestrator kills.
END_SECONDS = 15
MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers, or between two parts of its body: the parser itself keeps as many as come."""
MOST_AHEAD = 16
"""Requests that may wait on one line for the answer before theirs: the parser itself takes in as many as come."""
WAIT_SECONDS = 60.0
"""How long a request may take to arrive. Whoever has lost the line never says so, and others stay silent on purpose."""
BACKLOG = 128
_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
MOST_LINES = 4096 if _files == resource.RLIM_INFINITY else min(_files // 2, 4096)
"""Connections at once, so that files and databases can still be opened; after that, each new one costs a silent one."""


class StraightProtocol(HttpToolsProtocol):
    """HTTP without a write buffer: as long as the kernel has not taken everything, the next `send` waits
    (https://docs.python.org/3/library/asyncio-protocol.html#asyncio.WriteTransport.set_write_buffer_limits).

    And with an end to what anybody may let it keep before an application is asked.
    """

    _unheard = 0
    _end: asyncio.TimerHandle | None = None
    _since = 0.0
    is_cut = False

    def connection_made(self, transport: Any) -> None:
        """Switch the buffer off and remember the transport; make place for it if there is none."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)
        self._place = _ends(transport.get_extra_info("peername"), transport.get_extra_info("sockname"))
        _transports[self._place] = transport
        self._expect()
        if len(self.connections) > MOST_LINES:
            lines = [line for line in self.connections if isinstance(line, StraightProtocol) and not line.is_cut]
            min(lines, key=StraightProtocol.silent_since).cut()

    def silent_since(self) -> float:
        """Since when it is for the other side to send, or to read; never, while it is for us."""
        ours = self._end is None and not self.cycle.response_complete
        return inf if ours else self._since

    def cut(self) -> None:
        """End the connection, whatever is still to be sent."""
        self.is_cut = True
        self.transport.abort()

    def _expect(self) -> None:
        if self._end is None:
            self._since = monotonic()
            self._end = self.loop.call_later(WAIT_SECONDS, self.cut)

    def _expect_nothing(self) -> None:
        if self._end:
            self._end.cancel()
        self._end = None

    def data_received(self, data: bytes) -> None:
        """Take what came, unless far too much of it was for nobody."""
        self._unheard += len(data)
        self._expect()
        super().data_received(data)
        if self._unheard > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    def on_headers_complete(self) -> None:
        """From here on it is the application's."""
        self._unheard = 0
        super().on_headers_complete()
        if len(self.pipeline) > MOST_AHEAD:
            raise ValueError("too many requests ahead of their answers")  # to the parser, which then refuses all of it

    def on_body(self, body: bytes) -> None:
        """The application takes it, or says that it is too much."""
        self._unheard = 0
        super().on_body(body)

    def on_message_begin(self) -> None:
        """One more request, perhaps right behind another."""
        self._expect()
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """All of it is here."""
        self._expect_nothing()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """All of it is on its way."""
        self._since = monotonic()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the transport; what it kept at its end in good order is asked for a last time."""
        _transports.pop(self._place, None)
        self._expect_nothing()
        if exc is None:
            _kept_at_end[self.transport] = _kept(self.transport)
        super().connection_lost(exc)


def transport_of(scope: Scope) -> asyncio.Transport | None:
    """The connection on which a request came; None under a server that is not ours (such as a test client)."""
    if not scope.get("client") or not scope.get("server"):
        return None
    return _transports.get(_ends(scope["client"], scope["server"]))


def discard_on_close(transport: asyncio.Transport, discard: bool) -> None:
    """Say whether a connection that ends, for whatever reason, takes with it what the kernel still keeps to send.

    Otherwise the kernel goes on sending after the connection was closed here, even after this process was killed
    (socket(7), SO_LINGER).
    """
    connection = transport.get_extra_info("socket")
    if connection.fileno() >= 0:  # otherwise it has ended already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", discard, 0))


async def has_left(transport: asyncio.Transport) -> bool:
    """Wait until the receiver's side has acknowledged every byte; False when the connection is lost before.

    A `send` that returned tells only that the kernel took the bytes. It may keep them for long: the receiver's window is
    full, the line is slow, or the kernel paces what it sends.
    """
    pause = FIRST_LOOK
    while kept := _kept(transport):
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_LOOK)
    # Whoever closes the connection as soon as everything is there has it all the same.
    return (_kept_at_end.get(transport) if kept is None else kept) == 0


def _kept(transport: asyncio.Transport) -> int | None:
    """How many bytes are still to be sent or acknowledged; None when the connection is gone."""
    descriptor = transport.get_extra_info("socket").fileno()
    if descriptor < 0:
        return None
    waiting = transport.get_write_buffer_size()
    # tcp(7), SIOCOUTQ, which is the same number. Other systems do not tell; there, with the kernel must be far enough.
    if sys.platform == "linux":
        waiting += int.from_bytes(fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    return waiting


def _ends(client: Any, server: Any) -> tuple[Address, Address]:
    return (client[0], client[1]), (server[0], server[1])


def listen(port: int, host: str = "127.0.0.1") -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises `OSError` when the port is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Its connections inherit this, and asyncio does not set it on them: without it an answer's second segment waits for
    # the other side's delayed acknowledgement, 40 ms for each request.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(1024)
    return listener


def origin(listener: socket.socket) -> str:
    """The URL at which a socket on this machine is reached."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def server(app: ASGIApp) -> uvicorn.Server:
    """A server that is not yet running. One process serves one event loop; start more processes for more cores."""
    config = uvicorn.Config(
        app,
        http=StraightProtocol,
        loop="asyncio",  # uvloop gathers writes until the end of a loop turn, which would defeat `StraightProtocol`
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # an access log would hold paths; spans and metrics hold route templates
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=BACKLOG,  # so many are met in one turn, before one of them can cost a silent one
        timeout_keep_alive=30,
        timeout_graceful_shutdown=END_SECONDS,
    )
    return uvicorn.Server(config)


def run(running: uvicorn.Server, listener: socket.socket) -> None:
    """Serve in the main thread until a signal asks to end; then come back, so that everything else ends in good order."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again after its own good end; by default that would kill what has yet to be flushed.
        signal.signal(number, lambda *_: None)
    running.run(sockets=[listener])


class BackgroundServer:
    """A server in a thread of its own: the embedded hub's inner door, and whatever runs beside other work."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        self._server, self._listener = server(app), listener
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)

    def start(self) -> None:
        """Start, and wait until requests are taken."""
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise OSError("the server could not start")
            self._thread.join(0.01)

    def stop(self) -> None:
        """End after running requests."""
        self._server.should_exit = True
        self._thread.join(END_SECONDS + 5)

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])


class ByPrefix:
    """One origin for several applications, chosen by the first steps of the path, which stays as it is."""

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._apps = dict(apps)

    def add(self, prefix: str, app: ASGIApp) -> None:
        """Answer for one more prefix."""
        self._apps[prefix] = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request to the application of its longest prefix."""
        path = "/" + scope.get("path", "/").lstrip("/")
        fitting = [prefix for prefix in self._apps if path == prefix or path.startswith(f"{prefix}/")]
        app: ASGIApp = self._apps[max(fitting, key=len)] if fitting else problem_response(not_found())
        await app(scope, receive, send)
