"""What is published, over HTTP: frozen bytes and nothing else. Whatever is not among them does not exist."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from services.common.errors import not_found
from services.reporting.room import Room
from services.reporting.store import publications as store

routes = APIRouter(prefix="/reporting/v1/publications", tags=["public"])
TABLE = re.compile(r"[a-z-]{1,40}\.(json|csv)")
MEDIA = {"json": "application/json", "csv": "text/csv; charset=utf-8"}


async def _room(request: Request) -> Room:
    room: Room = request.app.state.room
    return room


TheRoom = Annotated[Room, Depends(_room)]


@routes.get("")
def publications(room: TheRoom) -> dict[str, Any]:
    """Every publication, in order, with the hash that its certificate seals."""
    with room.database.reading() as connection:
        rows = store.published(connection)
    return {
        "publications": [
            {
                "id": row.id,
                "period": row.period,
                "plan": row.head["plan"],
                "rules": row.head["rules"],
                "revises": row.head["revises"],
                "files": row.head["files"],
                "bundle": row.bundle,
                "published_at": row.published_at,
            }
            for row in rows
        ]
    }


@routes.get("/{publication}/certificate.json", response_class=Response)
def certificate(room: TheRoom, publication: str) -> Response:
    """What was published, who approved it, and how the audit went."""
    return _frozen(room, publication, "certificate.json")


@routes.get("/{publication}/tables/{file}", response_class=Response)
def table(room: TheRoom, publication: str, file: str) -> Response:
    """One table, as `TABLE.json` or `TABLE.csv`."""
    if not TABLE.fullmatch(file):
        raise not_found()
    return _frozen(room, publication, f"tables/{file}")


def _frozen(room: Room, publication: str, name: str) -> Response:
    with room.database.reading() as connection:
        content = store.published_file(connection, publication, name)
    if content is None:
        raise not_found()
    return Response(content, media_type=MEDIA[name.rpartition(".")[2]])
