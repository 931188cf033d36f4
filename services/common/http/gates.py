"""Checks who sends a request before its body is read, so that strangers cannot make the hub keep anything.

FastAPI reads the body of a request before it calls any dependency. A dependency that is registered here is therefore made
earlier, by the first part of the application that asks for the body; the dependency then returns the result.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.models import Dependant
from starlette.requests import Request
from starlette.types import Scope

Check = Callable[[Request], Any]
_KEPT = "fireweed.gate"
_checks: dict[Callable[..., Any], Check] = {}
Dependency = TypeVar("Dependency", bound=Callable[..., Any])


@dataclass(slots=True)
class _Outcome:
    """The result of a check, or its error; `used` once a dependency has returned it."""

    value: Any = None
    error: Exception | None = None
    used: bool = False


def before_body(check: Check) -> Callable[[Dependency], Dependency]:
    """Register the decorated dependency as a gate: `check` is made before the body of its routes is read.

    The dependency takes the result from `checked` or `checked_in_thread`.
    """

    def register(dependency: Dependency) -> Dependency:
        _checks[dependency] = check
        return dependency

    return register


def checked(request: Request, check: Check) -> Any:
    """Return the result of `check` and raise what it raises; it is made now unless it was made before the body was read."""
    outcome = request.scope.get(_KEPT)
    if outcome is None or outcome.used:
        outcome = request.scope[_KEPT] = _outcome(request, check)
    outcome.used = True
    if outcome.error:
        raise outcome.error
    return outcome.value


async def checked_in_thread(request: Request, check: Check) -> Any:
    """Return what `checked` does, without holding the event loop up."""
    outcome = request.scope.get(_KEPT)
    if outcome is None or outcome.used:
        return await run_in_threadpool(checked, request, check)
    return checked(request, check)


async def refuses(scope: Scope) -> bool:
    """Make the check of the request's route, unless it was made already; tell whether it refuses the request.

    The body may then not be read. The route's dependency raises the error.
    """
    if _KEPT in scope:
        return False
    check = check_of(scope)
    if check is None:
        return False
    outcome = scope[_KEPT] = await run_in_threadpool(_outcome, Request(scope), check)
    return outcome.error is not None


def agency_of(scope: Scope) -> str | None:
    """Return the agency that sends the request, None if it is not known yet or if another kind of caller sends it."""
    outcome = scope.get(_KEPT)
    return outcome.value if outcome and isinstance(outcome.value, str) else None


def _outcome(request: Request, check: Check) -> _Outcome:
    try:
        return _Outcome(check(request))
    except Exception as error:  # noqa: BLE001 - `checked` raises it where the route's errors are answered
        return _Outcome(error=error)


def check_of(scope: Scope) -> Check | None:
    """Return the check of a request's route that is made before its body is read, None if there is none."""
    dependant = getattr(scope.get("route"), "dependant", None)
    if dependant is None:
        return None
    return next((_checks[call] for call in _calls(dependant) if call in _checks), None)


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for inner in dependant.dependencies:
        if inner.call is not None:
            yield inner.call
        yield from _calls(inner)
