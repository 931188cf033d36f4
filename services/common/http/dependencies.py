"""Dependencies of routes that every service has: values that `create_app` keeps in the application's state."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request


def from_state(name: str) -> Callable[[Request], Awaitable[Any]]:
    """Return a dependency on a value of the application's state.

    It is asynchronous because it never waits: FastAPI runs any other in a thread, which costs more than the rest of it.
    """

    async def value(request: Request) -> Any:
        return getattr(request.app.state, name)

    return value
