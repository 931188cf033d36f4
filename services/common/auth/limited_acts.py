"""Counts the acts of agencies against their limits; a route names its limit in its own list of dependencies."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Depends, Request

from services.common.auth.access_tokens import AccessGate, Caller
from services.common.http.app import ADDED_HEADERS


def limited(act: str) -> Any:
    """Return a dependency that counts each request of an agency against this limit before its route is called."""
    return Depends(_counting(act))


def spend(request: Request, agency: str, act: str, cost: int = 1) -> None:
    """Count acts of an agency, and tell in the answer what is left. Raises a 429 problem if that is too little."""
    gate: AccessGate = request.app.state.gate
    request.scope[ADDED_HEADERS].update(gate.limits.spend(agency, act, cost))


def act_of(dependency: object) -> str | None:
    """Return the limit against which a dependency counts; None if it counts nothing."""
    return getattr(dependency, "limited_act", None)


def _counting(act: str) -> Callable[..., Awaitable[None]]:
    async def count(request: Request, agency: Caller) -> None:
        spend(request, agency, act)

    count.limited_act = act  # type: ignore[attr-defined]
    return count
