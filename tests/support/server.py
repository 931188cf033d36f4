"""An application behind the real server, on a port of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp

from services.common.serve import BackgroundServer, listen, origin


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
