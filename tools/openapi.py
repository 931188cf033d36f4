"""Writes `schemas/openapi/` from the services' routes; `--check` compares instead and names stale documents."""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import click
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts

from services import composition
from services.common.auth.access_tokens import Caller
from services.common.http.app import PROBLEM_TYPE
from services.common.settings import Settings
from services.consent.api.dependencies import COOKIE, SessionDep, SteppedUpDep

FOLDER = Path(str(files("schemas"))) / "openapi"
PARTNER, SURVIVOR = "partner", "survivor"
SCHEMES: Mapping[str, Mapping[str, str]] = {
    PARTNER: {
        "type": "http",
        "scheme": "DPoP",
        "description": "An access token from `/intake/oauth/token`, and with each request a fresh proof in the `DPoP`"
        " header that its sender holds the key it was issued to (RFC 9449).",
    },
    SURVIVOR: {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "Her session, from `POST /my/v1/session`. What lets others see more also needs"
        " `POST /my/v1/session/step-up` in the five minutes before; what cannot be undone has the PIN in its own body.",
    },
}
"""Security schemes by name; a route without one of these is public."""
_FAULT = {
    "type": "object",
    "description": "One member that is wrong. The value that was sent is never repeated.",
    "required": ["member", "detail"],
    "properties": {
        "member": {"type": "string", "description": "A JSON Pointer into the body, or the name of a header and claim."},
        "detail": {"type": "string"},
        "accepted": {"type": "string", "description": "What would be accepted in its place."},
    },
}
_PROBLEM = {
    "type": "object",
    "description": "What went wrong, and what would be accepted in its place (RFC 9457).",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri", "examples": ["urn:fireweed:problem:invalid-request"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
    },
}
_RESPONSE = {
    "description": "Any status from 400 on. With 503, send the same request again after `Retry-After` seconds.",
    "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; the status is 1 if a document is stale.")
def main(check: bool) -> None:
    """Write the OpenAPI documents anew."""
    stale = [name for name, text in sorted(texts().items()) if _kept(name) != text]
    if check:
        for name in stale:
            click.echo(f"schemas/openapi/{name}.json is not what the routes say; run: make openapi", err=True)
        sys.exit(1 if stale else 0)
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / f"{name}.json").write_text(text, "utf-8")
    click.echo(f"{len(stale)} of {len(composition.NAMES)} documents changed: {', '.join(stale) or 'none'}")


def texts() -> dict[str, str]:
    """Return the text of each service's document, with sorted keys, so that equal documents have equal text."""
    with tempfile.TemporaryDirectory(prefix="fireweed-openapi-") as folder:
        services = composition.build_all(Settings(data=Path(folder)), "http://127.0.0.1")
        try:
            return {service.name: _text(_document(service.app)) for service in services}
        finally:
            for service in services:
                service.close()


def gates(dependant: Dependant) -> Iterator[str]:
    """Yield the security schemes that a route's dependencies need."""
    known = {_dependency(Caller): PARTNER, _dependency(SessionDep): SURVIVOR, _dependency(SteppedUpDep): SURVIVOR}
    if dependant.call in known:
        yield known[dependant.call]
    for inner in dependant.dependencies:
        yield from gates(inner)


def _document(app: object) -> dict[str, Any]:
    assert isinstance(app, FastAPI)  # noqa: S101 - `create_app` makes nothing else
    document = app.openapi()
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    # FastAPI describes an error answer that this hub never gives.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= {"Fault": _FAULT, "Problem": _PROBLEM}
    components["responses"] = {"Problem": _RESPONSE}
    used = {_complete(document, route) for route in iter_route_contexts(app.routes) if route.include_in_schema}
    if schemes := {name: scheme for name, scheme in SCHEMES.items() if name in used}:
        components["securitySchemes"] = schemes
    return document


def _complete(document: dict[str, Any], route: RouteContext) -> str | None:
    """Add the problem answer and the security scheme to one route; return the scheme's name."""
    scheme = next(gates(route.dependant), None)
    for method in route.methods or ():
        operation = document["paths"][route.path_format][method.lower()]
        operation["responses"].pop("422", None)
        operation["responses"]["default"] = {"$ref": "#/components/responses/Problem"}
        operation["security"] = [{scheme: []}] if scheme else []
    return scheme


def _dependency(alias: object) -> object:
    """Return the function of an `Annotated[..., Depends(function)]`."""
    return get_args(alias)[1].dependency


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _kept(name: str) -> str:
    path = FOLDER / f"{name}.json"
    return path.read_text("utf-8") if path.exists() else ""


if __name__ == "__main__":
    main()
