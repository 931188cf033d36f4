"""Servers in this process, each on a port of its own: an application behind the real one, or a few lines of a test's own."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from starlette.types import ASGIApp

from services.common.http.server import BackgroundServer, listen, origin


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """The application's origin while it is served."""
    listener = listen(0)
    server = BackgroundServer(app, listener)
    server.start()
    try:
        yield origin(listener)
    finally:
        server.stop()


@contextmanager
def answering(handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port on which a handler answers meanwhile, several callers at once."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
