"""Runs an application under uvicorn in such a way that a sent answer has really left this process."""

import asyncio
import socket
import threading
from collections.abc import Mapping
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.common.errors import not_found
from services.common.web import problem_response

Address = tuple[str, int]
_transports: dict[tuple[Address, Address], asyncio.Transport] = {}


class StraightProtocol(HttpToolsProtocol):
    """HTTP without a write buffer: as long as the kernel has not taken everything, the next `send` waits.

    An opening's last, empty `send` therefore returns only when all its bytes are with the kernel
    (https://docs.python.org/3/library/asyncio-protocol.html#asyncio.WriteTransport.set_write_buffer_limits).
    """

    def connection_made(self, transport: Any) -> None:
        """Switch the buffer off and remember the transport."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)
        self._place = _ends(transport.get_extra_info("peername"), transport.get_extra_info("sockname"))
        _transports[self._place] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the transport."""
        _transports.pop(self._place, None)
        super().connection_lost(exc)


def transport_of(scope: Scope) -> asyncio.Transport | None:
    """The connection on which a request came; None under a server that is not ours (such as a test client)."""
    if not scope.get("client") or not scope.get("server"):
        return None
    return _transports.get(_ends(scope["client"], scope["server"]))


def _ends(client: Any, server: Any) -> tuple[Address, Address]:
    return (client[0], client[1]), (server[0], server[1])


def listen(port: int, host: str = "127.0.0.1") -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises `OSError` when the port is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
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
        timeout_keep_alive=30,
    )
    return uvicorn.Server(config)


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
        self._thread.join(10)

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])


class ByPrefix:
    """One origin for several applications, chosen by the first step of the path, which stays as it is."""

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._apps = dict(apps)

    def add(self, prefix: str, app: ASGIApp) -> None:
        """Answer for one more prefix."""
        self._apps[prefix] = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request to the application of its prefix."""
        first = "/" + scope.get("path", "/").lstrip("/").split("/", 1)[0]
        app: ASGIApp = self._apps.get(first) or problem_response(not_found())
        await app(scope, receive, send)
