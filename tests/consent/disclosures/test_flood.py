"""During a flood of openings, alone and in batches, a revocation is answered within the time limit for slow receivers."""

import json
import threading
import time
from pathlib import Path

import pytest

from deploy.testing.postgresql import PostgresServer
from services.common.clock import SystemClock
from services.common.settings import Settings
from services.consent.api.opening_response import SEND_SECONDS
from services.consent.context import Context
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Wish
from tests.consent.disclosures.test_revocation_race import PATH, holder
from tests.support.consent import SUMMARY, Agency, Person, TokenSigner, join, open_session, register, sealed
from tests.support.consent_processes import own_context, serving
from tests.support.raw_http import ClientConnection, request

pytestmark = pytest.mark.slow
CLIENTS, PEOPLE, REVOCATIONS = 8, 20, 40
# For the revocation itself, on a busy machine.
SLACK = 1.0


@pytest.mark.backend("postgresql")
def test_revocation_in_flood_of_openings_stays_within_cap(postgres_server: PostgresServer, tmp_path: Path) -> None:
    settings = Settings(database_url=postgres_server.empty_database(), data=tmp_path)
    signer = TokenSigner(settings.token_issuer, SystemClock())
    with serving(settings, signer, 1) as [process], own_context(settings, signer) as context:
        agency = join(context, signer, "housing")
        people = [register(context, agency.id) for _ in range(PEOPLE)]
        envelopes = []
        for person in people:
            grant = grants.give_grant(context, person.subject, Wish(agency.id, "referral", ["summary"]))
            envelopes.append(sealed(context, grant, {"summary": SUMMARY}))
        flood = Flood(process.port, envelopes)
        clients = [
            threading.Thread(target=flood.open, args=(holder(agency, signer), number % 2)) for number in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        try:
            new = [Wish(agency.id, "referral", ["summary"], days + 2) for days in range(REVOCATIONS)]
            waits = sorted(_revoke(process.port, context, people[0], wish) for wish in new)
        finally:
            flood.over = True
            for client in clients:
                client.join(20)

    print(
        f"{flood.opened} envelopes opened meanwhile; a revocation took {waits[len(waits) // 2] * 1000:.0f} ms in the middle "
        f"and {waits[-1] * 1000:.0f} ms at the longest"
    )
    assert flood.opened > REVOCATIONS, "there was no flood"
    assert waits[-1] < SEND_SECONDS + SLACK


class Flood:
    """Clients that open without a pause: one envelope, or all of them in a batch."""

    def __init__(self, port: int, envelopes: list[str]) -> None:
        self._port, self.opened, self.over = port, 0, False
        self._bodies = [json.dumps({"envelope": envelopes[0]}), json.dumps({"envelopes": envelopes})]

    def open(self, client: Agency, kind: int) -> None:
        """Open until the flood is over; runs in a thread."""
        connection, url = ClientConnection(self._port), f"http://127.0.0.1:{self._port}{PATH}"
        while not self.over:
            answer = connection.ask(request("POST", PATH, client.headers("POST", url), self._bodies[kind].encode()))
            self.opened += answer.content.count(b'"parts"')
        connection.close()


def _revoke(port: int, context: Context, person: Person, wish: Wish) -> float:
    grant = grants.give_grant(context, person.subject, wish)
    connection, cookie = ClientConnection(port), open_session(context, person.subject)
    start = time.monotonic()
    answer = connection.ask(request("DELETE", f"/my/v1/grants/{grant}", {"cookie": f"s={cookie}"}))
    waited = time.monotonic() - start
    connection.close()
    assert answer.status == 204, answer
    return waited
