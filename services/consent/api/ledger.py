"""Routes of the ledger, under `/consent/v1/ledger`: static tiles for anybody, cosignatures from agencies."""

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from services.common.access import Caller
from services.common.bodies import Body
from services.consent.api.doors import TheRoom
from services.consent.handlers import tree, witnesses

routes = APIRouter(prefix="/consent/v1/ledger", tags=["ledger"])
CHANGES = {"cache-control": "public, max-age=1"}
STAYS = {"cache-control": "public, max-age=31536000, immutable"}
TEXT = "text/plain; charset=utf-8"


class Cosignature(Body):
    """A checkpoint of this ledger with your cosignature in it, and the key that verifies it."""

    key: str = Field(max_length=400, description="Your verifier key (C2SP vkey, type 0x04).")
    checkpoint: str = Field(max_length=20_000, description="The signed note, your cosignature/v1 line included.")


class Cosigned(BaseModel):
    """How many entries the checkpoint covers that is now cosigned by you."""

    size: int


@routes.get("/key", response_class=Response)
def key(room: TheRoom) -> Response:
    """The ledger's verifier key (a C2SP vkey). Keep it: whoever is asked for it anew may tell another one."""
    return Response(f"{room.ledger_key.verifier}\n", headers=CHANGES, media_type=TEXT)


@routes.get("/checkpoint", response_class=Response)
def checkpoint(room: TheRoom) -> Response:
    """The newest signed checkpoint (C2SP tlog-checkpoint)."""
    return Response(tree.checkpoint(room), headers=CHANGES, media_type=TEXT)


@routes.get("/checkpoint/cosigned", response_class=Response)
def cosigned(room: TheRoom) -> Response:
    """The newest checkpoint that an agency has cosigned (C2SP tlog-cosignature)."""
    return Response(tree.checkpoint(room, cosigned=True), headers=CHANGES, media_type=TEXT)


@routes.get("/tile/{path:path}", response_class=Response)
def tile(room: TheRoom, path: str) -> Response:
    """A tile of hashes, or a bundle of entries, which are commitments (C2SP tlog-tiles)."""
    return Response(tree.tile(room, path), headers=STAYS, media_type="application/octet-stream")


@routes.post("/cosignatures", status_code=201)
def cosign(room: TheRoom, agency: Caller, body: Cosignature) -> Cosigned:
    """Cosign a checkpoint whose consistency with what you saw before you have verified."""
    return Cosigned(size=witnesses.cosign(room, agency, body.key, body.checkpoint))
