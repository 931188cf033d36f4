"""Routes of the ledger, under `/consent/v1/ledger`: static tiles for anybody, cosignatures from agencies."""

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from services.common.auth.access_tokens import Caller
from services.common.auth.limited_acts import limited
from services.common.http.request_models import Body
from services.consent.api.dependencies import ContextDep
from services.consent.handlers.ledger import publish, witnesses

routes = APIRouter(prefix="/consent/v1/ledger", tags=["ledger"])
CHANGES = {"cache-control": "public, max-age=1"}
STAYS = {"cache-control": "public, max-age=31536000, immutable"}
TEXT = "text/plain; charset=utf-8"


class Cosignature(Body):
    """A checkpoint of this ledger with your cosignature in it, and the key that verifies it."""

    key: str = Field(max_length=400, description="Your verifier key (C2SP vkey, type 0x04).")
    checkpoint: str = Field(max_length=20_000, description="The signed note, your cosignature/v1 line included.")


class Cosigned(BaseModel):
    """The number of entries in the checkpoint that you have now cosigned."""

    size: int


@routes.get("/key", response_class=Response)
def key(context: ContextDep) -> Response:
    """Return the ledger's verifier key (a C2SP vkey). Keep it: an attacker may answer a later request with another key."""
    return Response(f"{context.ledger_key.verifier}\n", headers=CHANGES, media_type=TEXT)


@routes.get("/checkpoint", response_class=Response)
def checkpoint(context: ContextDep) -> Response:
    """Return the newest signed checkpoint (C2SP tlog-checkpoint)."""
    return Response(publish.checkpoint(context), headers=CHANGES, media_type=TEXT)


@routes.get("/checkpoint/cosigned", response_class=Response)
def cosigned(context: ContextDep) -> Response:
    """Return the newest checkpoint that an agency has cosigned (C2SP tlog-cosignature)."""
    return Response(publish.checkpoint(context, cosigned=True), headers=CHANGES, media_type=TEXT)


@routes.get("/tile/{path:path}", response_class=Response)
def tile(context: ContextDep, path: str) -> Response:
    """Return a tile of hashes, or a bundle of entries, which are commitments (C2SP tlog-tiles)."""
    return Response(publish.tile(context, path), headers=STAYS, media_type="application/octet-stream")


@routes.post("/cosignatures", status_code=201, dependencies=[limited("answers")])
def cosign(context: ContextDep, agency: Caller, body: Cosignature) -> Cosigned:
    """Cosign a checkpoint, after you have verified that it is consistent with what you saw before."""
    return Cosigned(size=witnesses.cosign(context, agency, body.key, body.checkpoint))
