"""Builds a service's web application: problem documents for every error, a size limit, a trace, safe headers."""

import re
from codecs import BOM_UTF8
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
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

MAX_BODY = 256 * 1024
# Far deeper than anything in `schemas/`, far shallower than Python's own limit.
MAX_DEPTH = 32
# Of a body that is wrong in thousands of places, so much is told.
MOST_FAULTS = 100
# FastAPI's own spans and logs hold paths, queries, addresses and what a sender got wrong; `_Envelope` makes ours.
SILENT: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
_NOT_JSON = Fault("", "The body is not JSON.", f"a JSON document in UTF-8, at most {MAX_DEPTH} levels deep")
Find = Callable[[Request, Any], Problem]
Show = Callable[[Request, Problem], Response | None]
PROBLEM_TYPE = "application/problem+json"
# Nothing a hub answers may be kept by a browser or a proxy, shown inside another page, or found by a search engine.
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
    """An application with these routers; `kept` is put on `app.state`; `larger` are paths with a size limit of their own.

    `show` makes the page on which somebody with a browser reads of a problem, where there are pages.

    Of what is `public`, whoever may have it may ask for its head alone, as those do who look whether a link still leads
    somewhere. Where a proof names the method, that is the method.

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
        redirect_slashes=False,  # it would tell apart what does not exist, and send whoever asks to the `Host` they named
    )
    for router in routers:
        app.include_router(router)
    for name, value in kept.items():
        setattr(app.state, name, value)
    for kind, find in PROBLEMS.items():
        app.exception_handler(kind)(_telling(find, show))
    app.add_middleware(_Envelope, larger=larger or {}, public=public)
    return app


def is_page(path: str, home: str) -> bool:
    """Whether this is the address of one of the pages under `home`, and not of the interface for programs beside them."""
    return f"{path}/".startswith(f"{home}/") and not f"{path}/".startswith(f"{home}/v1/")


def _telling(find: Find, show: Show) -> Callable[[Request, Any], Coroutine[Any, Any, Response]]:
    """A handler of an error: the problem that it is, as a page for a browser and as a document for programs."""

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
    """The answer that carries a problem; it brings its own safe headers, since not every one goes out through `_Envelope`."""
    return JSONResponse(problem.as_json(), problem.status, {**HEADERS, **problem.headers}, PROBLEM_TYPE)


async def raw_body(request: Request) -> bytes:
    """The request's body as it came; use as a dependency of a plain `def` route."""
    try:
        return await request.body()
    except ClientDisconnect as error:
        # Nobody hears this; but a caller who hangs up is no failure of the hub, and belongs in no log.
        raise invalid(Fault("", "The body ended too soon.", "as much as was announced")) from error


def json_body(raw: bytes) -> Any:
    """The JSON document in a body; raises a 400 problem, also for what could not be written down again as JSON."""
    try:
        document = from_json(raw.removeprefix(BOM_UTF8))
        _check_plain(document, MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        raise invalid(_NOT_JSON) from error
    return document


def _check_plain(value: object, levels: int) -> None:
    """Raise `ValueError` for what is read but could not be written again (NaN, 1e999), or only just (depth)."""
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("not a number in JSON")
    if isinstance(value, dict | list):
        if levels == 0:
            raise ValueError("too deep")
        for item in value.values() if isinstance(value, dict) else value:
            _check_plain(item, levels - 1)


class _Envelope:
    """What surrounds every request: span, duration, size limit, headers. Pure ASGI, so nothing is buffered."""

    def __init__(self, app: ASGIApp, larger: Mapping[str, int], *, public: bool) -> None:
        self._app, self._larger, self._public = app, larger, public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._public and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # whose body the server leaves out
        most = self._larger.get(scope["path"], MAX_BODY)
        if _announced(scope) > most:
            await problem_response(_too_large(most))(scope, receive, send)
            return
        began, status = monotonic(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": _with_defaults(message.get("headers", []))}
            await send(message)

        carried = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"}
        with telemetry.span(scope["method"], SpanKind.SERVER, carried, http__request__method=scope["method"]) as span:
            try:
                await self._app(scope, _limited(receive, most), sending)
            finally:
                # The template, never the path: a path can hold an id that somebody could look up.
                route = getattr(scope.get("route"), "path", "unknown")
                span.update_name(f"{scope['method']} {route}")
                span.set_attributes({"http.route": route, "http.response.status_code": status})
                labels = {"route": route, "method": scope["method"], "status": status}
                metrics.request_seconds.record(monotonic() - began, labels)


def _limited(receive: Receive, most: int) -> Callable[[], Awaitable[Message]]:
    read = 0

    async def limited() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise _too_large(most)
        return message

    return limited


def _announced(scope: Scope) -> int:
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0


def _too_large(most: int) -> Problem:
    return Problem(413, "too-large", "The body is too large.", [Fault("", "Too large.", f"at most {most} bytes")])


def _with_defaults(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    given = {name.lower() for name, _ in headers}
    missing = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in given]
    return [*headers, *missing]


def _validation(request: Request, error: Any) -> Problem:
    # A route that follows another's standard may say that it answers 400.
    status = 400 if 400 in getattr(request.scope.get("route"), "responses", {}) else 422
    return invalid(*map(_validation_fault, error.errors()[:MOST_FAULTS]), status=status)


def _http(_request: Request, error: Any) -> Problem:
    if isinstance(error.__cause__, Problem):  # FastAPI wraps what was raised while it read the body
        return error.__cause__
    if error.status_code == 404:
        return not_found()
    return Problem(error.status_code, "http", "This cannot be asked here.", headers=error.headers or {})


def _database_down(_request: Request, error: Any) -> Problem:
    telemetry.log.warning("the database cannot be reached (%s)", type(error).__name__)
    return unavailable("A part of the hub cannot be reached. Nothing was stored; please try again.")


def _unstorable(_request: Request, error: Any) -> Problem:
    # Such as NUL, for which PostgreSQL has no place in a text: nothing can be kept or found under such a name.
    telemetry.log.warning("the database has no place for a value (%s)", type(error).__name__)
    fault = Fault("", "A text here is too long, or holds what cannot be stored.", "text without control characters")
    return invalid(fault)


def _unforeseen(_request: Request, _error: Any) -> Problem:
    # The server closes this connection; a caller who is not told would lose the next request that it sends there.
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
"""Which problem each kind of error is."""


def _validation_fault(item: Mapping[str, Any]) -> Fault:
    """Only places and rules are told, never the input, nor a name that the sender made up: both may be personal."""
    if item["type"] == "json_invalid":
        return _NOT_JSON
    if item["type"] == "extra_forbidden":
        return Fault(_pointer(item["loc"][:-1]), "There is a member too many here.")
    return Fault(_pointer(item["loc"]), str(item["msg"]))


def _pointer(location: Sequence[object]) -> str:
    places = [str(step) for step in location]
    if places[:1] != ["body"]:
        return " ".join(places)
    # A step can be a name that the sender made up; only what a model could hold is repeated.
    return "".join(f"/{step if re.fullmatch('[a-z_0-9]{1,32}', step) else '*'}" for step in places[1:])
