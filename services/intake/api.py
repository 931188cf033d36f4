"""Intake's routes for agencies, under `/intake`."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import JSONResponse

from services.common.auth.access_tokens import Caller, proof_of
from services.common.errors import Fault, invalid
from services.common.http.app import json_body, raw_body
from services.common.media_types import read_media_type
from services.common.messaging.cloudevents import BATCH_CONTENT_TYPE, CONTENT_TYPE
from services.intake import handlers
from services.intake.context import Context
from services.intake.posting import post, raise_if_rejected
from services.intake.token_endpoint import ASSERTION_MAX_SECONDS, ASSERTION_TYPE, GRANT, TokenEndpoint, TokenRequest

MAX_BATCH = 500


routes = APIRouter(tags=["agencies"])


async def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


async def _tokens(request: Request) -> TokenEndpoint:
    tokens: TokenEndpoint = request.app.state.tokens
    return tokens


ContextDep = Annotated[Context, Depends(_context)]
TheTokens = Annotated[TokenEndpoint, Depends(_tokens)]
_EVENT = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string"},
        "source": {"type": "string", "description": "Your client id."},
        "type": {"type": "string"},
        "subject": {
            "type": "string",
            "description": "Your ppid for the person the event is about, if it is about one.",
        },
        "time": {"type": "string", "format": "date-time"},
        "data": {"type": "object", "description": "As `schemas/events/<type>.json` says."},
    },
    "additionalProperties": False,
}
_RESULT = {
    "type": "object",
    "required": ["id", "status", "parts"],
    "properties": {
        "id": {"type": ["string", "null"], "description": "The event's id, if it had one that can be repeated."},
        "status": {"enum": ["accepted", "withheld", "duplicate", "rejected"]},
        "parts": {"type": "object", "additionalProperties": {"enum": ["sealed", "withheld"]}},
        "reason": {"type": "string", "description": "Why it was withheld or rejected."},
        "thread": {"type": "string", "description": "The referral or offer that it begins or carries on."},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
    },
    "additionalProperties": False,
}
_BODIES = {
    "requestBody": {
        "required": True,
        "content": {
            CONTENT_TYPE: {"schema": _EVENT},
            BATCH_CONTENT_TYPE: {"schema": {"type": "array", "items": _EVENT, "minItems": 1, "maxItems": MAX_BATCH}},
        },
    },
    "responses": {
        "202": {
            "description": "One result for one event, an array of them for a batch.",
            "content": {"application/json": {"schema": {"oneOf": [_RESULT, {"type": "array", "items": _RESULT}]}}},
        }
    },
}
_FORM = ("grant_type", "client_assertion_type", "client_assertion")
_PROOF = {
    "name": "DPoP",
    "in": "header",
    "required": True,
    "schema": {"type": "string"},
    "description": "A proof (RFC 9449) by the key to which the token will be bound.",
}
_ISSUED = {
    "required": ["access_token", "token_type", "expires_in"],
    "properties": {
        "access_token": {"type": "string"},
        "token_type": {"const": "DPoP"},
        "expires_in": {"type": "integer", "description": "Seconds."},
    },
}
# What is missing is told as OAuth tells it, so no member is required of the function.
_TOKEN = {
    "parameters": [_PROOF],
    "requestBody": {
        "required": True,
        "content": {"application/x-www-form-urlencoded": {"schema": {"required": list(_FORM)}}},
    },
    "responses": {"200": {"content": {"application/json": {"schema": _ISSUED}}}},
}
_ASSERTION = (
    "A JWT signed with your key: `iss` and `sub` are your client id, `aud` is the issuer as a single string, "
    f"`jti` is a new one, `exp` is at most {ASSERTION_MAX_SECONDS} s ahead."
)
_FOUND = {"responses": {"200": {"content": {"application/json": {"schema": _RESULT}}}}}


# RFC 8414, section 3, puts the well-known step before an issuer's path; clients look in either place.
@routes.get("/.well-known/oauth-authorization-server/intake", include_in_schema=False)
@routes.get("/intake/.well-known/oauth-authorization-server")
def metadata(tokens: TheTokens) -> dict[str, Any]:
    """Where tokens are to be had, and how (RFC 8414)."""
    return tokens.metadata()


@routes.get("/intake/jwks.json")
def keys(tokens: TheTokens) -> dict[str, Any]:
    """The keys that verify access tokens."""
    return tokens.public_keys()


@routes.post("/intake/oauth/token", openapi_extra=_TOKEN)
def token(
    tokens: TheTokens,
    request: Request,
    grant_type: Annotated[str, Form(description=f"`{GRANT}`")] = "",
    client_assertion_type: Annotated[str, Form(description=f"`{ASSERTION_TYPE}`")] = "",
    client_assertion: Annotated[str, Form(description=_ASSERTION)] = "",
) -> dict[str, Any]:
    """Client credentials with `private_key_jwt` and a DPoP proof: a token for 300 s, bound to the proof's key."""
    form = dict(zip(_FORM, (grant_type, client_assertion_type, client_assertion), strict=True))
    return tokens.issue(TokenRequest(f"{tokens.issuer}/oauth/token", form, proof_of(request.headers)))


@routes.post("/intake/v1/events", status_code=202, openapi_extra=_BODIES)
def post_events(
    context: ContextDep, request: Request, agency: Caller, raw: Annotated[bytes, Depends(raw_body)]
) -> Response:
    """Post one event, or up to 500 at once. The answer tells of each, in order, what became of it."""
    batch, documents = _documents(request.headers.get("content-type", ""), raw)
    results = post(context, agency, documents)
    told = [result.as_json() for result in results] if batch else raise_if_rejected(results[0]).as_json()
    return JSONResponse(told, 202)


# An id may hold slashes (a URN, a path), and servers decode `%2F` before a route sees it.
@routes.get("/intake/v1/events/{event_id:path}", openapi_extra=_FOUND)
def look_up(context: ContextDep, agency: Caller, event_id: str) -> dict[str, Any]:
    """What became of an event you posted; a refusal further on is here with its reason."""
    return handlers.look_up(context, agency, event_id).as_json()


def _documents(content_type: str, raw: bytes) -> tuple[bool, list[Any]]:
    found, accepted = read_media_type(content_type), f"{CONTENT_TYPE} or {BATCH_CONTENT_TYPE}"
    if found is None or found.name not in {CONTENT_TYPE, BATCH_CONTENT_TYPE}:
        raise invalid(Fault("Content-Type", "Not a kind of body that is taken here.", accepted), status=415)
    if not found.is_utf8:
        fault = Fault("Content-Type", "Its charset is not UTF-8.", f"{accepted}, with no charset or utf-8")
        raise invalid(fault, status=415)
    document = json_body(raw)
    if found.name == CONTENT_TYPE:
        return False, [document]
    if not isinstance(document, list):
        raise invalid(Fault("", "A batch is an array.", "a JSON array of events"))
    if not 1 <= len(document) <= MAX_BATCH:
        status, detail = (
            (413, "Too many events in one batch.") if document else (400, "There is no event in this batch.")
        )
        raise invalid(Fault("", detail, f"1 to {MAX_BATCH} events"), status=status)
    return True, document
