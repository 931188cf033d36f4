"""When PostgreSQL ends the session that holds a survivor's lock, the guarded bytes stop; a killed process frees the lock."""

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from deploy.testing.postgresql import PostgresServer
from services.common.clock import SystemClock
from services.common.settings import Settings
from services.consent.api import opening_response
from services.consent.api.opening_response import OpeningResponse
from services.consent.context import Context
from services.consent.handlers.disclosures.openings import begin_opening
from services.consent.handlers.grants import grants
from tests.consent.disclosures.test_opening_response import ask
from tests.support.consent import House, TokenSigner, join, ledger_of, open_session, register, sealed
from tests.support.consent_processes import own_context, serving
from tests.support.hubs import HubProcess
from tests.support.raw_http import ClientConnection, PartialReader, request

pytestmark = [pytest.mark.slow, pytest.mark.backend("postgresql")]
PATH = "/consent/v1/openings"
# Far more than fits into a small receive window.
PARTS = {"summary": {"text": "A quiet place. " * 5000}}
SMALL_WINDOW = 4096
END_HOLDERS = """SELECT pg_terminate_backend(pid, 5000) FROM (
    SELECT DISTINCT pid FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
) AS holder"""


def test_lost_lock_stops_bytes_before_revocation_is_answered(postgres_server: PostgresServer, tmp_path: Path) -> None:
    def lose(context: Context, _process: HubProcess) -> None:
        assert _end_holders(context) == 1

    _revoked_after(lose, postgres_server, tmp_path)


def test_killed_process_stops_bytes_and_releases_lock(postgres_server: PostgresServer, tmp_path: Path) -> None:
    def lose(_context: Context, process: HubProcess) -> None:
        process.kill()
        assert process.popen
        assert process.popen.returncode == -signal.SIGKILL

    _revoked_after(lose, postgres_server, tmp_path)


def test_lock_lost_before_first_byte_sends_nothing(postgres_server: PostgresServer, tmp_path: Path) -> None:
    settings = Settings(database_url=postgres_server.empty_database(), data=tmp_path)
    signer = TokenSigner(settings.token_issuer, SystemClock())
    with serving(settings, signer, 0), own_context(settings, signer) as context:
        agency = join(context, signer, "housing")
        person = register(context, agency.id)
        name = grants.give_grant(context, person.subject, grants.Wish(agency.id, "referral", ["summary"]))
        response = OpeningResponse(begin_opening(context, agency.id, sealed(context, name, PARTS)))
        assert _end_holders(context) == 1
        grants.revoke_grant(context, person.subject, name)
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            raise AssertionError("nothing is read")

        with pytest.raises(OperationalError):
            asyncio.run(response({"type": "http"}, receive, send))
        assert sent == []


@pytest.mark.parametrize("own_house", ["postgresql"], indirect=True)
def test_lost_lock_cuts_slow_connection_at_once(own_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cut does not wait for `SEND_SECONDS`, which is longer here than the receiver waits for a byte."""
    monkeypatch.setattr(opening_response, "SEND_SECONDS", 60.0)
    agency, person = own_house.agency(), own_house.person()
    slow = ask(own_house, agency, own_house.envelope(own_house.allow(person, agency), PARTS))
    begun, _ = slow.take()
    assert _end_holders(own_house.context) == 1

    arrived, _ = slow.until_cut()
    assert len(begun) + len(arrived) < len(json.dumps(PARTS))
    assert own_house.kinds(person)[-1] == "opening.intended"


def _revoked_after(lose: Callable[[Context, HubProcess], None], postgres: PostgresServer, folder: Path) -> None:
    """Revoke a grant at one process while another, which lost its lock, sends under that grant to a slow receiver."""
    settings = Settings(database_url=postgres.empty_database(), data=folder)
    signer = TokenSigner(settings.token_issuer, SystemClock())
    with serving(settings, signer, 2) as processes, own_context(settings, signer) as context:
        agency = join(context, signer, "housing")
        person = register(context, agency.id)
        name = grants.give_grant(context, person.subject, grants.Wish(agency.id, "referral", ["summary"]))
        cookie = {"cookie": f"s={open_session(context, person.subject)}"}
        revoke = ClientConnection(processes[1].port)
        # Connect and authenticate now, so that the setup of a connection does not delay the measured answer.
        assert revoke.ask(request("GET", "/my/v1/grants", cookie)).status == 200

        slow = PartialReader(processes[0].port, SMALL_WINDOW)
        url = f"http://127.0.0.1:{processes[0].port}{PATH}"
        body = json.dumps({"envelope": sealed(context, name, PARTS)}).encode()
        slow.socket.sendall(request("POST", PATH, agency.headers("POST", url), body))
        begun, last_before = slow.take()
        lose(context, processes[0].process)
        answer = revoke.ask(request("DELETE", f"/my/v1/grants/{name}", cookie))
        revoke.close()
        assert answer.status == 204

        arrived, last = slow.until_cut()
        assert max(last, last_before) < answer.first, (
            "bytes of a revoked grant arrived after the answer to the revocation"
        )
        assert len(begun) + len(arrived) < len(json.dumps(PARTS))
        kinds = [row.kind for row in ledger_of(context, person.subject)]
        assert kinds[-3:] == ["opening.intended", "grant.ended", "key.destroyed"]


def _end_holders(context: Context) -> int:
    """End the database sessions that hold a survivor's lock, as a failover would; return their number."""
    with context.database.reading() as connection:
        ended = connection.scalars(text(END_HOLDERS))
        return sum(ended)
