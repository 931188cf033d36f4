"""When PostgreSQL ends the session that holds her lock, what it guarded stops; a machine that is gone holds it no longer."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from deploy.testing.postgresql import PostgresServer
from services.common.clock import SystemClock
from services.common.settings import Settings
from services.consent.handlers import grants
from services.consent.handlers.openings import begin_opening
from services.consent.models import ledger_entry
from services.consent.room import Room
from services.consent.sending import OpeningResponse
from tests.support.arrivals import Line, request
from tests.support.consent import TokenSigner, join, open_session, register, sealed
from tests.support.consent_processes import own_room, serving

pytestmark = [pytest.mark.slow, pytest.mark.backend("postgresql")]
PATH = "/consent/v1/openings"
# Far more than a small window takes in.
WORDS = {"summary": {"text": "A quiet place. " * 5000}}
SMALL_WINDOW = 4096


def test_bytes_whose_lock_was_lost_stop_before_another_process_tells_her_revoked(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    settings = Settings(database_url=postgres_server.empty_database(), data=tmp_path)
    signer = TokenSigner(settings.token_issuer, SystemClock())
    with serving(settings, signer, 2) as processes, own_room(settings, signer) as room:
        agency = join(room, signer, "housing")
        person = register(room, agency.id)
        name = grants.give_grant(room, person.subject, grants.Wish(agency.id, "referral", ["summary"]))
        cookie = {"cookie": f"s={open_session(room, person.subject)}"}
        revoke = Line(processes[1].port)
        assert revoke.ask(request("GET", "/my/v1/grants", cookie)).status == 200

        slow = Line(processes[0].port, SMALL_WINDOW)
        url = f"http://127.0.0.1:{processes[0].port}{PATH}"
        body = json.dumps({"envelope": sealed(room, name, WORDS)}).encode()
        slow.socket.sendall(request("POST", PATH, agency.headers("POST", url), body))
        arrived, last = slow.take()
        assert _end_holders(room) == 1
        answer = revoke.ask(request("DELETE", f"/my/v1/grants/{name}", cookie))
        revoke.close()
        assert answer.status == 204

        with suppress(ConnectionError):
            while True:
                chunk, last = slow.take()
                arrived += chunk
        slow.close()
        assert last < answer.first, "bytes of a revoked grant arrived after the answer to the revocation"
        assert len(arrived) < len(json.dumps(WORDS))
        assert _kinds(room, person.subject)[-3:] == ["opening.intended", "grant.ended", "key.destroyed"]


def test_nothing_is_sent_when_the_lock_was_lost_before_the_first_byte(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    settings = Settings(database_url=postgres_server.empty_database(), data=tmp_path)
    signer = TokenSigner(settings.token_issuer, SystemClock())
    with serving(settings, signer, 0), own_room(settings, signer) as room:
        agency = join(room, signer, "housing")
        person = register(room, agency.id)
        name = grants.give_grant(room, person.subject, grants.Wish(agency.id, "referral", ["summary"]))
        response = OpeningResponse(begin_opening(room, agency.id, sealed(room, name, WORDS)))
        assert _end_holders(room) == 1
        grants.revoke_grant(room, person.subject, name)
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            raise AssertionError("nothing is read")

        with pytest.raises(OperationalError):
            asyncio.run(response({"type": "http"}, receive, send))
        assert sent == []


def _end_holders(room: Room) -> int:
    """End the sessions that hold somebody's lock, as a failover would; how many."""
    held = "SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND objsubid = 1"
    here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    with room.database.reading() as connection:
        ended = connection.scalars(text(f"SELECT pg_terminate_backend(pid, 5000) FROM ({held} AND {here}) AS holder"))  # noqa: S608
        return sum(ended)


def _kinds(room: Room, subject: UUID) -> list[str]:
    query = select(ledger_entry.c.kind).where(ledger_entry.c.subject_id == subject)
    with room.database.reading() as connection:
        return list(connection.scalars(query.order_by(ledger_entry.c.position)))
