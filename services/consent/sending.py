"""Sends an opening's bytes while its lock is held, and tells truthfully whether they have left."""

import asyncio

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.common.serve import transport_of
from services.consent.handlers.openings import Opening

SEND_SECONDS = 1.0
"""How long a slow receiver may hold a survivor's revocation up; then its connection is cut."""


class OpeningResponse(Response):
    """The answer to an opening. The lock goes only after the kernel has every byte, or the connection is dead."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening.content, 200, media_type="application/json")
        self._opening = opening

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Send, then record the outcome and unlock, whatever happens."""
        outcome = "indeterminate"
        transport = transport_of(scope)
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": self.body, "more_body": True})
                # Waits until the write buffer is empty (`StraightProtocol`): only then has everything left.
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            # A connection that was lost on the way is no longer known; one that closes in good order still is.
            if transport_of(scope) is transport:
                outcome = "delivered"
        except TimeoutError:
            if transport is not None:
                transport.abort()
        finally:
            # Shielded: a request that is cancelled must still give its lock back.
            await asyncio.shield(run_in_threadpool(self._opening.finish, outcome))
