"""Builds a service's web application with problem documents for errors, a size limit, traces and safe headers."""

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Coroutine, Mapping, Sequence
from math import isfinite
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import SpanKind
from pydantic_core import from_json
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.common import metrics, telemetry
from services.common.clock import monotonic
from services.common.errors import Fault, Problem, invalid, not_found, unavailable
from services.common.http.bodies import BodyBudget, IncomingBody, too_large

MAX_BODY = 256 * 1024
# Far more levels than any schema in `schemas/` has, far fewer than Python's own limit.
MAX_DEPTH = 32
# At most so many faults of a body are reported.
MOST_FAULTS = 100
# FastAPI's own spans and logs hold paths, queries, addresses and wrong values; `_RequestWrapper` makes ours.
SILENT: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
# In the scope of a request: headers that its answer gets, whatever it is.
ADDED_HEADERS = "fireweed.headers"
_NOT_JSON = Fault("", "The body is not JSON.", f"a JSON document in UTF-8, at most {MAX_DEPTH} levels deep")
Find = Callable[[Request, Any], Problem]
Show = Callable[[Request, Problem], Response | None]
PROBLEM_TYPE = "application/problem+json"
# No answer of a hub may be stored by a browser or a proxy, shown inside another page, or found by a search engine.
HEADERS: Mapping[str, str] = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def create_app(
    title: str,
    description: str,
    routers: Sequence[APIRouter],
    larger: Mapping[str, int] | None = None,
    show: Show = lambda _request, _problem: None,
    *,
    public: bool = False,
    **kept: object,
) -> FastAPI:
    """Build an application with these routers; `kept` is put on `app.state`, `larger` maps paths to their own size limits.

    `show` renders a problem as a page for a browser, or returns None where there are no pages. A `public` application
    answers HEAD as GET, for programs that check links; other applications do not, since a DPoP proof names the method.

    Add no middleware that buffers answers: an opening's bytes must go straight to the socket while its lock is held.
    """
    app = FastAPI(
        title=title,
        description=description,
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=SILENT,
        redirect_slashes=False,  # it would distinguish paths that do not exist, and redirect to the `Host` of the request
    )
    for router in routers:
        app.include_router(router)
    for name, value in kept.items():
        setattr(app.state, name, value)
    for kind, find in PROBLEMS.items():
        app.exception_handler(kind)(_telling(find, show))
    app.add_middleware(_RequestWrapper, larger=larger or {}, public=public)
    return app


def is_page(path: str, home: str) -> bool:
    """Tell whether a path is that of a page under `home`, and not of the API under `home`/v1."""
    return f"{path}/".startswith(f"{home}/") and not f"{path}/".startswith(f"{home}/v1/")


def _telling(find: Find, show: Show) -> Callable[[Request, Any], Coroutine[Any, Any, Response]]:
    """Return an exception handler that answers with a page for a browser and a problem document for programs."""

    async def tell(request: Request, error: Any) -> Response:
        problem = find(request, error)
        page = show(request, problem) if "text/html" in request.headers.get("accept", "") else None
        if page is None:
            return problem_response(problem)
        for name, value in {**HEADERS, **problem.headers}.items():
            page.headers.setdefault(name, value)
        return page

    return tell


def problem_response(problem: Problem) -> Response:
    """Return the response of a problem, with safe headers, since not every response passes `_RequestWrapper`."""
    return JSONResponse(problem.as_json(), problem.status, {**HEADERS, **problem.headers}, PROBLEM_TYPE)


async def raw_body(request: Request) -> bytes:
    """Return the request's body in bytes; use it as a dependency of a plain `def` route."""
    try:
        return await request.body()
    except ClientDisconnect as error:
        # The caller has gone and will not read this. Its disconnect is not a failure of the hub, and so is not logged.
        raise invalid(Fault("", "The body ended too soon.", "as much as was announced")) from error


def json_body(raw: bytes) -> Any:
    """Parse the JSON document in a body; raises a 400 problem, also for values that JSON cannot represent."""
    try:
        document = from_json(raw.removeprefix(BOM_UTF8))
        _check_plain(document, MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        raise invalid(_NOT_JSON) from error
    return document


def _check_plain(value: object, levels: int) -> None:
    """Raise `ValueError` for values that the parser accepts but JSON cannot represent (NaN, 1e999), and for deep nesting."""
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("not a number in JSON")
    if isinstance(value, dict | list):
        if levels == 0:
            raise ValueError("too deep")
        for item in value.values() if isinstance(value, dict) else value:
            _check_plain(item, levels - 1)


class _RequestWrapper:
    """Adds span, duration, limits of size and headers to every request. Pure ASGI, so nothing is buffered."""

    def __init__(self, app: ASGIApp, larger: Mapping[str, int], *, public: bool) -> None:
        self._app, self._larger, self._public = app, larger, public
        self._budget = BodyBudget()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._public and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server leaves out the body
        most = self._larger.get(scope["path"], MAX_BODY)
        if _announced(scope) > most:
            await problem_response(too_large(most))(scope, receive, send)
            return
        began, status = monotonic(), 500
        scope[ADDED_HEADERS] = added = dict[str, str]()
        body = IncomingBody(scope, receive, most, self._budget)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": _with_defaults(message.get("headers", []), added)}
            await send(message)

        carried = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"}
        with telemetry.span(scope["method"], SpanKind.SERVER, carried, http__request__method=scope["method"]) as span:
            try:
                await self._app(scope, body.receive, sending)
            finally:
                body.release()
                # The template, never the path: a path can hold an id that identifies somebody.
                route = getattr(scope.get("route"), "path", "unknown")
                span.update_name(f"{scope['method']} {route}")
                span.set_attributes({"http.route": route, "http.response.status_code": status})
                labels = {"route": route, "method": scope["method"], "status": status}
                metrics.request_seconds.record(monotonic() - began, labels)


def _announced(scope: Scope) -> int:
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0


def _with_defaults(headers: Sequence[tuple[bytes, bytes]], added: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    given = {name.lower() for name, _ in headers}
    defaults = {**HEADERS, **{name.lower(): value for name, value in added.items()}}
    missing = [(name.encode(), value.encode()) for name, value in defaults.items() if name.encode() not in given]
    return [*headers, *missing]


def _validation(request: Request, error: Any) -> Problem:
    # A route that follows another standard may declare that it answers 400.
    status = 400 if 400 in getattr(request.scope.get("route"), "responses", {}) else 422
    # A gate and its route may both read the body, and find the same faults in it.
    return invalid(*dict.fromkeys(map(_validation_fault, error.errors()[:MOST_FAULTS])), status=status)


def _http(_request: Request, error: Any) -> Problem:
    if isinstance(error.__cause__, Problem):  # FastAPI wraps an exception that was raised while it read the body
        return error.__cause__
    if error.status_code == 404:
        return not_found()
    return Problem(error.status_code, "http", "This cannot be asked here.", headers=error.headers or {})


def _database_down(_request: Request, error: Any) -> Problem:
    telemetry.log.warning("the database cannot be reached (%s)", type(error).__name__)
    return unavailable("A part of the hub cannot be reached. Nothing was stored; please try again.")


def _unstorable(_request: Request, error: Any) -> Problem:
    # Such as NUL, which PostgreSQL cannot store in a text.
    telemetry.log.warning("the database has no place for a value (%s)", type(error).__name__)
    fault = Fault("", "A text here is too long, or holds what cannot be stored.", "text without control characters")
    return invalid(fault)


def _unforeseen(_request: Request, _error: Any) -> Problem:
    # The server closes this connection; without this header a caller would lose its next request on it.
    headers = {"Connection": "close"}
    return Problem(500, "internal", "Something went wrong in this hub. Nothing was changed.", headers=headers)


PROBLEMS: Mapping[type[Exception], Find] = {
    Problem: lambda _request, problem: problem,
    RequestValidationError: _validation,
    HTTPException: _http,
    DataError: _unstorable,
    OperationalError: _database_down,
    PoolTimeout: _database_down,
    Exception: _unforeseen,
}
"""The function that makes a problem of each kind of error."""


def _validation_fault(item: Mapping[str, Any]) -> Fault:
    """Return a fault with place and rule only; the input, or a name that the sender made up, may be personal."""
    if item["type"] == "json_invalid":
        return _NOT_JSON
    if item["type"] == "extra_forbidden":
        return Fault(_pointer(item["loc"][:-1]), "There is a member too many here.")
    return Fault(_pointer(item["loc"]), str(item["msg"]))


def _pointer(location: Sequence[object]) -> str:
    places = [str(step) for step in location]
    if places[:1] != ["body"]:
        return " ".join(places)
    # A step can be a name that the sender made up; only names that a model could have are repeated.
    return "".join(f"/{step if re.fullmatch('[a-z_0-9]{1,32}', step) else '*'}" for step in places[1:])
