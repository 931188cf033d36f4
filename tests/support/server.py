"""Servers in this process, each on its own port: an application behind the product's server, or a handler of a test."""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from starlette.types import ASGIApp

from services.common.http.server import BackgroundServer, listen, origin
from services.common.settings import Network


@contextmanager
def served(app: ASGIApp, proxies: Sequence[Network] = ()) -> Iterator[str]:
    """Serve an application; yield its origin."""
    listener = listen(0)
    server = BackgroundServer(app, listener, proxies)
    server.start()
    try:
        yield origin(listener)
    finally:
        server.stop()


@contextmanager
def answering(handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve a handler, with one thread per request; yield its port."""
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
