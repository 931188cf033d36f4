"""Receives the bodies of requests: each has a greatest size, and all bodies of one address have one together."""

from collections import Counter
from threading import Lock

from starlette.types import Message, Receive, Scope

from services.common.errors import Fault, Problem, unavailable
from services.common.http import gates
from services.common.http.connections import KEY

MOST_BYTES = 64 * 1024 * 1024
"""Bytes of bodies that an application holds at once. Up to twice as many while new addresses come, each with a fair part."""
PARTS = 2
"""An address may hold one of so many parts of them."""
SMALL = 8 * 1024
"""Bytes of a body that are not counted. Her forms are smaller, so that no flood keeps her from any of them."""


class BodyBudget:
    """Counts the bytes of bodies that an application holds, by who pays for them: an address, or behind a proxy an agency."""

    def __init__(self) -> None:
        self._most, self._all = MOST_BYTES, 0
        self._held = Counter[str]()
        self._lock = Lock()

    def take(self, payer: str, size: int) -> None:
        """Count more bytes; raise a 503 problem if the payer holds too many, or all together do and this one a large part."""
        with self._lock:
            holds, total = self._held[payer] + size, self._all + size
            fair = self._most // max(len(self._held), 1)
            if holds > self._most // PARTS or total > 2 * self._most or (total > self._most and holds > fair):
                self._forget(payer)
                raise unavailable("Too much is arriving at once. Nothing was stored; please send less at a time.")
            self._held[payer], self._all = holds, total

    def give_back(self, payer: str, size: int) -> None:
        """Count bytes no more."""
        with self._lock:
            self._held[payer] -= size
            self._all -= size
            self._forget(payer)

    def _forget(self, payer: str) -> None:
        if not self._held[payer]:
            del self._held[payer]


class IncomingBody:
    """The body of one request, as the application receives it. A caller whom the route's gate refuses has an empty one."""

    def __init__(self, scope: Scope, receive: Receive, most: int, budget: BodyBudget) -> None:
        self._scope, self._receive, self._most, self._budget = scope, receive, most, budget
        self._read, self._counted, self._payer = 0, 0, ""
        self._refused: bool | None = None

    async def receive(self) -> Message:
        """Return the next message; raise a 413 problem if the body is too large, 503 if its sender has too many."""
        if self._refused is None:
            self._refused = await gates.refuses(self._scope)
            if self._refused:
                return {"type": "http.request", "body": b"", "more_body": False}
        message = await self._receive()
        while self._refused and message["type"] == "http.request":
            message = await self._receive()
        self._count(len(message.get("body", b"")))
        return message

    def release(self) -> None:
        """Count its bytes no more, since the request is answered."""
        if self._counted:
            self._budget.give_back(self._payer, self._counted)
        self._counted = 0

    def _count(self, size: int) -> None:
        self._read += size
        if self._read > self._most:
            raise too_large(self._most)
        more = self._read - self._counted if self._read > SMALL else 0
        if more:
            self._payer = self._payer or _payer(self._scope)
            self._budget.take(self._payer, more)
            self._counted += more


def too_large(most: int) -> Problem:
    """Return the 413 problem of a body with more than `most` bytes."""
    return Problem(413, "too-large", "The body is too large.", [Fault("", "Too large.", f"at most {most} bytes")])


def _payer(scope: Scope) -> str:
    told = scope.get("extensions", {}).get(KEY)
    if told is None:
        return scope["client"][0] if scope.get("client") else "unknown"
    # Names of agencies are no addresses, so the two cannot be confused.
    return told["holder"] or gates.agency_of(scope) or "proxy"
