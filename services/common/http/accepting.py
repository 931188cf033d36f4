"""A server that takes one new connection in each turn of its loop, and stays calm when no file descriptor is left."""

import asyncio
import logging
import socket
from math import inf
from typing import Any

import uvicorn

from services.common import telemetry
from services.common.clock import monotonic
from services.common.http.connections import Shares

AT_ONCE = 1
"""Connections that asyncio accepts in one turn: its name for this is the backlog, and it sets the listener's to the same.

Without a free descriptor, each of these tries would log a failure and plan a new one: log and loop would fill up.
"""
BACKLOG = 1024
"""Connections that the kernel keeps for a listener until they are accepted."""
OUT_OF_FILES = "socket.accept() out of system resource"
LOG_SECONDS = 1.0


class Seldom(logging.Filter):
    """Lets each warning of the server pass once in `LOG_SECONDS`: a client can cause as many as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[object, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record may be logged."""
        now = monotonic()
        if record.levelno != logging.WARNING or now - self._last.get(record.msg, -inf) >= LOG_SECONDS:
            self._last[record.msg] = now
            return True
        return False


_seldom = Seldom()


class Server(uvicorn.Server):
    """A server that ends connections when no file descriptor is left, and tells so at most once a second."""

    _logged = -inf

    def __init__(self, config: uvicorn.Config, shares: Shares) -> None:
        super().__init__(config)
        self._shares = shares
        logging.getLogger("uvicorn.error").addFilter(_seldom)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, with the backlog that each listener had before."""
        asyncio.get_running_loop().set_exception_handler(self._on_failure)
        await super().startup(sockets)
        for listener in sockets or ():
            if listener.fileno() >= 0:
                listener.listen(BACKLOG)

    def _on_failure(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not str(context.get("message", "")).startswith(OUT_OF_FILES):
            loop.default_exception_handler(context)
            return
        if monotonic() - self._logged >= LOG_SECONDS:
            self._logged = monotonic()
            telemetry.log.error("no file descriptor is left for a connection")
        self._shares.make_spare()
