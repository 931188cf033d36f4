"""Sends an opening's bytes while its lock is held, and records truthfully whether they have left."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from select import POLLIN, poll

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.common.database.advisory_locks import session_socket
from services.common.errors import unavailable
from services.common.http.server import discard_on_close, has_left, transport_of
from services.consent.handlers.disclosures.openings import Opening

SEND_SECONDS = 1.0
"""Seconds that a slow receiver may delay a survivor's revocation; then its connection is cut."""


class OpeningResponse(Response):
    """The response to an opening. The lock is released only after the receiver has every byte, or the connection is dead."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening.content, media_type="application/json")
        self._opening = opening

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Send, then record the outcome and unlock, whatever happens."""
        outcome = "indeterminate"
        transport = transport_of(scope)
        try:
            async with asyncio.timeout(SEND_SECONDS):
                with _cut_without_locks(transport, self._opening):
                    if await self._send(transport, send):
                        outcome = "delivered"
        except TimeoutError:
            if transport is not None:
                transport.abort()
                # The loop closes the connection on its next turn; the lock must not be released before that.
                await asyncio.sleep(0)
        finally:
            # Shielded: a cancelled request must still release its lock. Not in the threads of requests, which may all be
            # waiting for this very lock, behind a change that waits for it too.
            await asyncio.shield(asyncio.to_thread(self._opening.finish, outcome))
        # An empty end. Only after it does the connection's next request begin, so that a client that sends one batch after
        # the other never finds the places taken by its own.
        await send({"type": "http.response.body"})

    async def _send(self, transport: asyncio.Transport | None, send: Send) -> bool:
        """Send; return True only if the peer acknowledged every byte. Without our own transport that is never known."""
        if transport is not None:
            discard_on_close(transport, True)
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        if transport is None or not await has_left(transport):
            return False
        discard_on_close(transport, False)
        return True


@contextmanager
def _cut_without_locks(transport: asyncio.Transport | None, opening: Opening) -> Iterator[None]:
    """Cut the connection as soon as the database session with the locks ends: others may then change what may leave."""
    session = session_socket(opening.connection) if opening.connection is not None else None
    if session is None:
        yield
        return
    # Nothing is asked of PostgreSQL meanwhile. If it sends something, it is ending the session, before the locks go.
    if _is_readable(session):
        raise unavailable("Her permissions cannot be held just now. Please try again in a moment.", 1)
    loop = asyncio.get_running_loop()
    if transport is not None:
        loop.add_reader(session, transport.abort)
    try:
        yield
    finally:
        loop.remove_reader(session)


def _is_readable(descriptor: int) -> bool:
    """Tell whether a socket has something to read, its end included."""
    asking = poll()
    asking.register(descriptor, POLLIN)
    return bool(asking.poll(0))
