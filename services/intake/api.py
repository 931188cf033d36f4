"""Routes for agencies under `/intake`: tokens, posted events and their results."""

from asyncio import timeout
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect

from services.common.auth.access_tokens import Caller, proof_of
from services.common.auth.limited_acts import limited, spend
from services.common.errors import Fault, Problem, invalid, unavailable
from services.common.http.app import MAX_BODY, json_body
from services.common.http.dependencies import from_state
from services.common.media_types import read_media_type
from services.common.messaging.cloudevents import BATCH_CONTENT_TYPE, CONTENT_TYPE, MAX_BATCH, MAX_BATCH_BODY
from services.intake import handlers
from services.intake.context import Context
from services.intake.domain import NOT_AS_APPROVED
from services.intake.posting import check, post, raise_if_rejected
from services.intake.token_endpoint import ASSERTION_MAX_SECONDS, ASSERTION_TYPE, GRANT, TokenEndpoint, TokenRequest

# So many batches that are larger than a single event may be are held in memory at once; others wait, but not for long.
LARGE_BATCHES = 2
LARGE_BATCH_SECONDS = 60

routes = APIRouter(tags=["agencies"])


ContextDep = Annotated[Context, Depends(from_state("context"))]
TokensDep = Annotated[TokenEndpoint, Depends(from_state("tokens"))]


async def _body(request: Request, _agency: Caller) -> AsyncIterator[bytes]:
    """Yield the body; it is read only after the caller is known, so that nobody else can fill the memory."""
    async with AsyncExitStack() as held:
        yield await _read(request, held)


async def _read(request: Request, held: AsyncExitStack) -> bytes:
    """Return the body; raise a 413 problem if it is longer than its kind may be, 503 if it takes too long.

    Until `held` is closed, it counts as one of the few large ones that may be at work.
    """
    kind = read_media_type(request.headers.get("content-type", ""))
    most = MAX_BATCH_BODY if kind and kind.name == BATCH_CONTENT_TYPE else MAX_BODY
    body, large = bytearray(), False
    try:
        async with timeout(LARGE_BATCH_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > most:
                    fault = Fault("", "Too large.", f"at most {most} bytes")
                    raise Problem(413, "too-large", "The body is too large.", [fault])
                if len(body) > MAX_BODY and not large:
                    await held.enter_async_context(request.app.state.large_batches)
                    large = True
    except ClientDisconnect as error:
        # Nobody hears this; but a caller who hangs up is no failure of the hub, and belongs in no log.
        raise invalid(Fault("", "The body ended too soon.", "as much as was announced")) from error
    except TimeoutError as error:
        raise unavailable("This body takes too long. Nothing was stored; please send less at once.") from error
    return bytes(body)


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
        "status": {"enum": ["accepted", "withheld", "duplicate", "rejected", "valid"]},
        "parts": {"type": "object", "additionalProperties": {"enum": ["sealed", "withheld"]}},
        "reason": {"type": "string", "description": "Why it was withheld or rejected."},
        "dry_run": {"const": True, "description": "Nothing was stored, sealed or sent."},
        "reasons": {
            "type": "object",
            "additionalProperties": {"const": NOT_AS_APPROVED},
            "description": "By category, why a part was withheld: she allows certain texts only, and it is not one of them.",
        },
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
        "200": {
            "description": "The same after a dry run, in which nothing is stored, sealed or sent.",
            "content": {"application/json": {"schema": {"oneOf": [_RESULT, {"type": "array", "items": _RESULT}]}}},
        },
        "202": {
            "description": "One result for one event, an array of them for a batch.",
            "content": {"application/json": {"schema": {"oneOf": [_RESULT, {"type": "array", "items": _RESULT}]}}},
        },
    },
}
_DRY_RUN = (
    "`true`: only check the events. Each valid one is answered with `valid`; nothing is stored, sealed or sent, and she is"
    " not asked for: whether she allows it, a dry run does not tell."
)
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
# A missing member is reported as OAuth does, so the function requires none.
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
def metadata(tokens: TokensDep) -> dict[str, Any]:
    """Return the authorization server metadata (RFC 8414): where and how tokens are issued."""
    return tokens.metadata()


@routes.get("/intake/jwks.json")
def keys(tokens: TokensDep) -> dict[str, Any]:
    """Return the public keys that verify access tokens (RFC 7517)."""
    return tokens.public_keys()


@routes.post("/intake/oauth/token", openapi_extra=_TOKEN)
def token(
    tokens: TokensDep,
    request: Request,
    grant_type: Annotated[str, Form(description=f"`{GRANT}`")] = "",
    client_assertion_type: Annotated[str, Form(description=f"`{ASSERTION_TYPE}`")] = "",
    client_assertion: Annotated[str, Form(description=_ASSERTION)] = "",
) -> dict[str, Any]:
    """Issue a token for 300 s, bound to the key of the DPoP proof; clients authenticate with `private_key_jwt`."""
    form = dict(zip(_FORM, (grant_type, client_assertion_type, client_assertion), strict=True))
    return tokens.issue(TokenRequest(f"{tokens.issuer}/oauth/token", form, proof_of(request.headers)))


@routes.post("/intake/v1/events", status_code=202, openapi_extra=_BODIES)
def post_events(
    context: ContextDep,
    request: Request,
    agency: Caller,
    raw: Annotated[bytes, Depends(_body)],
    dry_run: Annotated[Literal["true", "false"], Query(alias="dry-run", description=_DRY_RUN)] = "false",
) -> Response:
    """Post one event of at most 256 kB, or a batch of up to 500 of at most 12 MB: each may hold every part at full length.

    The answer holds the result of each event, in order.
    """
    batch, documents = _documents(request.headers.get("content-type", ""), raw)
    spend(request, agency, "events", len(documents))
    trying = dry_run == "true"
    results = check(context, agency, documents) if trying else post(context, agency, documents)
    told = [result.as_json() for result in results] if batch else raise_if_rejected(results[0]).as_json()
    return JSONResponse(told, 200 if trying else 202)


class AgencyQuery(BaseModel):
    """Which page of the list; an unknown member is refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    cursor: str = Field(
        "", max_length=64, pattern="^[a-z0-9-]*$", description="The `next` of the page before; none for the first."
    )


class AgencyItem(BaseModel):
    """An agency that takes part. Its id is the `to` of a referral."""

    id: str
    name: str
    sector: str
    standing: str


class Agencies(BaseModel):
    """A page, by id; `next` is the `cursor` of the following page, null on the last."""

    items: list[AgencyItem]
    next: str | None


@routes.get("/intake/v1/agencies", dependencies=[limited("reads")])
def agencies(context: ContextDep, _agency: Caller, query: Annotated[AgencyQuery, Query()]) -> Agencies:
    """List who takes part. One that is suspended can neither send nor receive now."""
    rows = handlers.read_agencies(context, query.cursor)
    items = [AgencyItem(id=row.id, name=row.name, sector=row.sector, standing=row.standing) for row in rows]
    return Agencies(items=items, next=rows[-1].id if len(rows) == handlers.PAGE else None)


# An id may hold slashes (a URN, a path), and servers decode `%2F` before a route sees it.
@routes.get(
    "/intake/v1/events/{event_id:path}",
    openapi_extra=_FOUND,
    operation_id="look_up_intake_v1_events__event_id__get",
    dependencies=[limited("reads")],
)
def find_result(context: ContextDep, agency: Caller, event_id: str) -> dict[str, Any]:
    """Return the result of an event that you posted, also if it was refused later, with the reason; 404 if unknown."""
    return handlers.find_result(context, agency, event_id).as_json()


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
