"""Runs an application under uvicorn without a write buffer, so that a sent answer has really left this process."""

import asyncio
import fcntl
import resource
import signal
import socket
import struct
import sys
import termios
import threading
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.common.clock import monotonic
from services.common.errors import not_found
from services.common.http.accepting import AT_ONCE, BACKLOG, Server
from services.common.http.app import problem_response
from services.common.http.connections import KEY, Holder, Shares, holder_of
from services.common.http.progress import Progress
from services.common.settings import Network

Address = tuple[str, int]
_transports: dict[tuple[Address, Address], asyncio.Transport] = {}
_kept_at_end: WeakKeyDictionary[asyncio.Transport, int | None] = WeakKeyDictionary()
_cut: WeakSet[asyncio.Transport] = WeakSet()
# Seconds between two checks of the kernel's unsent bytes: short at first, for answers that leave at once.
FIRST_PAUSE, LONGEST_PAUSE = 0.0002, 0.01
# Seconds that a stopping server waits for unanswered requests, so that a stalled client cannot block the stop. Longer than
# any request may wait for a survivor's lock, shorter than the time after which an orchestrator kills.
END_SECONDS = 15
MAX_HEAD = 64 * 1024
"""Greatest size of a request's head, or between two parts of its body, in bytes; the parser itself has no limit."""
MOST_AHEAD = 16
"""Requests that may wait on one connection for the answer before theirs; the parser itself has no limit."""
MOST_BODY_AHEAD = 4096
"""Bytes of the body of such a request after which no more is read until its turn comes."""
WAIT_SECONDS = 60.0
"""How long a request may take to arrive: a client that lost its connection never says so, and some are silent on purpose."""
READ_BYTES = 64 * 1024
"""Greatest number of bytes that are read from a connection at once, which the application may not have asked for yet."""
_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
MOST_CONNECTIONS = 4096 if _files == resource.RLIM_INFINITY else min(_files // 2, 4096)
"""Greatest number of connections, so that files and databases can still be opened; each further one ends another."""


class _Config(uvicorn.Config):
    """The configuration of a server, with its connections by holder."""

    proxies: Sequence[Network] = ()
    shares: Shares


class StraightProtocol(HttpToolsProtocol):
    """HTTP without a write buffer: the next `send` waits until the kernel has taken everything
    (https://docs.python.org/3/library/asyncio-protocol.html#asyncio.WriteTransport.set_write_buffer_limits).

    It also limits how much a client can make it store before an application is asked, how many connections an address
    holds, and how long a client may leave an answer unread.
    """

    config: _Config
    _holder: Holder = None
    _unheard = 0
    _end: asyncio.TimerHandle | None = None
    _since = 0.0

    def connection_made(self, transport: Any) -> None:
        """Switch the buffer off and remember the transport; if there are too many connections, end one."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)
        transport.max_size = READ_BYTES
        self._progress = Progress(lambda: _kept(transport) or 0, self.cut)
        self._place = _ends(transport.get_extra_info("peername"), transport.get_extra_info("sockname"))
        _transports[self._place] = transport
        self._expect()
        self._holder = self._holder_by([])
        self.config.shares.add(self, self._holder)
        self._make_place()

    def stalled_since(self) -> float:
        """Return the monotonic time since which the client has to send or to read; infinity while it waits for our answer."""
        if (blocked := self._progress.blocked_since) is not None:
            return blocked
        ours = self._end is None and not self.cycle.response_complete
        return inf if ours else self._since

    def cut(self) -> None:
        """Abort the connection, with the bytes that are still to be sent."""
        _cut.add(self.transport)
        self.config.shares.remove(self, self._holder)
        self.transport.abort()

    def _make_place(self) -> None:
        if last := self.config.shares.gives_way(self._holder, MOST_CONNECTIONS):
            last.cut()

    def _holder_by(self, headers: Sequence[tuple[bytes, bytes]]) -> Holder:
        forwarded = [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
        return holder_of(self._place[0][0], forwarded, self.config.proxies)

    def _hold_for(self, holder: Holder) -> None:
        """Count the connection as another holder's: a trusted proxy uses it for one client after the other."""
        if holder == self._holder or self.transport in _cut:
            return
        self.config.shares.remove(self, self._holder)
        self._holder = holder
        self.config.shares.add(self, holder)
        self._make_place()

    def _expect(self) -> None:
        if self._end is None:
            self._since = monotonic()
            self._end = self.loop.call_later(WAIT_SECONDS, self.cut)

    def _expect_nothing(self) -> None:
        if self._end:
            self._end.cancel()
        self._end = None

    def data_received(self, data: bytes) -> None:
        """Parse the bytes; answer 400 if a head becomes too large."""
        self._unheard += len(data)
        self._expect()
        super().data_received(data)
        if self._unheard > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("The request's head is too large.")

    def on_headers_complete(self) -> None:
        """Pass the request to the application.

        Raises `ValueError` if too many requests wait on this connection, or if its client has too many connections.
        """
        self._unheard = 0
        if self.config.proxies:
            self._hold_for(self._holder_by(self.headers))
            if self.transport in _cut:
                raise ValueError("too many connections of its client")
        self.scope["extensions"] = {KEY: {"holder": self._holder}}
        super().on_headers_complete()
        if len(self.pipeline) > MOST_AHEAD:
            raise ValueError("too many requests ahead of their answers")  # to the parser, which then refuses all of it

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body to the application, which limits its size.

        While it waits behind an earlier request, where no application asks for it, no more is read. To refuse it would be
        wrong: a client that has its whole answer may send the next request before our last step of that answer is done.
        """
        self._unheard = 0
        super().on_body(body)
        if self.pipeline and len(self.cycle.body) > MOST_BODY_AHEAD:
            self.flow.pause_reading()

    def on_message_begin(self) -> None:
        """Start the time limit of a request, which may follow another one immediately."""
        self._expect()
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """End the time limit, since the request is complete."""
        self._expect_nothing()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Note the time at which the answer was passed to the kernel, and drop what was not read of the request's body."""
        self._since = monotonic()
        if self.cycle.response_complete:
            self.cycle.body = bytearray()
        if self.config.proxies and self._progress.blocked_since is None:
            self._hold_for(self._holder_by([]))
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Start the time limit of the client's reading, since the kernel takes no more bytes."""
        super().pause_writing()
        self._progress.block()

    def resume_writing(self) -> None:
        """Note that the client has taken everything."""
        super().resume_writing()
        self._progress.unblock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the transport; after an orderly end, note how many bytes it had not sent."""
        _transports.pop(self._place, None)
        self._expect_nothing()
        self._progress.end()
        self.config.shares.remove(self, self._holder)
        if exc is None:
            _kept_at_end[self.transport] = _kept(self.transport)
        super().connection_lost(exc)


def transport_of(scope: Scope) -> asyncio.Transport | None:
    """Return the connection of a request; None under another server (such as a test client)."""
    if not scope.get("client") or not scope.get("server"):
        return None
    return _transports.get(_ends(scope["client"], scope["server"]))


def discard_on_close(transport: asyncio.Transport, discard: bool) -> None:
    """Set whether the kernel discards unsent bytes when the connection ends for any reason.

    Otherwise the kernel goes on sending after the connection was closed here, even after this process was killed
    (socket(7), SO_LINGER).
    """
    connection = transport.get_extra_info("socket")
    if connection.fileno() >= 0:  # otherwise it has ended already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", discard, 0))


async def has_left(transport: asyncio.Transport) -> bool:
    """Wait until the peer has acknowledged every byte and return True; return False if the connection is lost before.

    A `send` that returned says only that the kernel took the bytes. It may keep them for long: the receiver's window is
    full, the network is slow, or the kernel paces what it sends.
    """
    pause = FIRST_PAUSE
    while kept := _kept(transport):
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    if transport in _cut:  # with bytes that nobody counts any more
        return False
    # A peer that has received everything may already have closed the connection.
    return (_kept_at_end.get(transport) if kept is None else kept) == 0


def _kept(transport: asyncio.Transport) -> int | None:
    """Return the number of bytes that are not yet acknowledged; None if the connection is gone."""
    descriptor = transport.get_extra_info("socket").fileno()
    if descriptor < 0:
        return None
    waiting = transport.get_write_buffer_size()
    # tcp(7), SIOCOUTQ, which is the same number. On other systems, bytes in the kernel count as acknowledged.
    if sys.platform == "linux":
        waiting += int.from_bytes(fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    return waiting


def _ends(client: Any, server: Any) -> tuple[Address, Address]:
    return (client[0], client[1]), (server[0], server[1])


def listen(port: int, host: str = "127.0.0.1") -> socket.socket:
    """Return a listening socket; port 0 takes a free port. Raises `OSError` if the port is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit this, and asyncio does not set it on them. Without it the second segment of an answer waits for the
    # peer's delayed acknowledgement, 40 ms for each request.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.listen(BACKLOG)
    return listener


def origin(listener: socket.socket) -> str:
    """Return the URL of a listening socket on this machine."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def server(app: ASGIApp, proxies: Sequence[Network] = ()) -> uvicorn.Server:
    """Return a server that is not yet running. A process has one event loop; start more processes for more cores.

    Connections of `proxies` belong to the clients that they name.
    """
    config = _Config(
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
        backlog=AT_ONCE,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=END_SECONDS,
    )
    config.proxies, config.shares = proxies, Shares()
    return Server(config, config.shares)


def run(running: uvicorn.Server, listener: socket.socket) -> None:
    """Serve in the main thread until a signal; then return, so that everything else can be closed in order."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again after its own end; by default that would kill the process before it has flushed.
        signal.signal(number, lambda *_: None)
    running.run(sockets=[listener])


class BackgroundServer:
    """A server in its own thread: for the embedded hub's internal routes, and beside other work."""

    def __init__(self, app: ASGIApp, listener: socket.socket, proxies: Sequence[Network] = ()) -> None:
        self._server, self._listener = server(app, proxies), listener
        self._thread = threading.Thread(target=self._run, name="server", daemon=True)

    def start(self) -> None:
        """Start, and wait until requests are accepted; raises `OSError` if the server cannot start."""
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise OSError("the server could not start")
            self._thread.join(0.01)

    def stop(self) -> None:
        """Stop after the running requests are answered."""
        self._server.should_exit = True
        self._thread.join(END_SECONDS + 5)

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])


class ByPrefix:
    """One origin for several applications, chosen by the first segments of the path, which stays unchanged."""

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._apps = dict(apps)

    def add(self, prefix: str, app: ASGIApp) -> None:
        """Add an application under a prefix."""
        self._apps[prefix] = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to the application with the longest matching prefix; without one answer 404."""
        path = "/" + scope.get("path", "/").lstrip("/")
        fitting = [prefix for prefix in self._apps if path == prefix or path.startswith(f"{prefix}/")]
        app: ASGIApp = self._apps[max(fitting, key=len)] if fitting else problem_response(not_found())
        await app(scope, receive, send)
