"""Agencies open in a loop while the survivor revokes; the kernel's arrival time of every byte decides who came first.

It uses real processes, real sockets and PostgreSQL. No byte under a grant may arrive after the first byte of the answer to
its revocation. Without the locks the race must show violations; otherwise this test could not find any.
"""

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from deploy.testing.postgresql import PostgresServer
from services.client import new_key
from services.common.auth.access_tokens import TokenKeys
from services.common.clock import SystemClock
from services.common.database.migrations import upgrade
from services.common.http.server import BackgroundServer, ByPrefix, listen, origin
from services.common.settings import Settings
from services.consent import main as consent
from services.consent.context import Context
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Wish
from tests.support.consent import Agency, TokenSigner, join, open_session, register, sealed
from tests.support.consent_processes import own_context, serving
from tests.support.raw_http import ClientConnection, request

pytestmark = pytest.mark.slow
CLIENTS = 8
# A release is tested with a thousand rounds; each test run takes a part of them, to save minutes.
ROUNDS, ROUNDS_IN_SOAK = 250, 1000
ROUNDS_WITHOUT_LOCKS = 150
ROUNDS_IN_ONE_PROCESS = 60
PROCESSES = 2
GRANTS_EACH = 20
PATH = "/consent/v1/openings"
# Characters: from a page of text to about the limit of one event.
SIZES = [4_000] * 6 + [30_000] * 3 + [90_000]
LONGEST_WAIT = 0.012
# The clients try again as fast as they can, and each round ends in refusals.
REFUSED = 10_000_000


@dataclass(frozen=True, slots=True)
class Opened:
    """One opening as its client saw it; times in nanoseconds, `last` is the kernel's."""

    round: int
    asked: int
    status: int
    last: int


@dataclass(slots=True)
class Round:
    """A grant to be revoked: the body that opens under it, the cookie that revokes it, and the times of the revocation."""

    grant: UUID
    body: bytes
    cookie: str
    opened: threading.Event = field(default_factory=threading.Event)
    asked: int = 0
    answered: int = 0


@dataclass(slots=True)
class Race:
    """The rounds, the number of the current one, and the openings that the clients saw."""

    rounds: Sequence[Round]
    now: int = 0
    over: bool = False
    seen: list[Opened] = field(default_factory=list)

    def violations(self) -> list[Opened]:
        """Return the openings of which a byte arrived after the answer to the revocation."""
        return [one for one in self.seen if one.status == 200 and one.last > self.rounds[one.round].answered]

    def caught_in_flight(self) -> int:
        """Return the number of rounds in which an opening was under way when the revocation was requested."""
        return len({one.round for one in self.seen if one.asked < self.rounds[one.round].asked < one.last})

    def told(self) -> str:
        """Return a summary of the race."""
        opened = sum(one.status == 200 for one in self.seen)
        torn = {one.round for one in self.violations()}
        return (
            f"{len(self.rounds)} rounds, {opened} openings, {len(self.seen) - opened} refusals, "
            f"{self.caught_in_flight()} rounds with openings in flight, {len(torn)} rounds with violations"
        )


@pytest.mark.backend("postgresql")
def test_no_byte_arrives_after_revocation_is_answered(postgres_server: PostgresServer, tmp_path: Path) -> None:
    check(run_race(postgres_server, tmp_path, ROUNDS))


@pytest.mark.soak
@pytest.mark.backend("postgresql")
def test_no_byte_arrives_late_in_a_thousand_rounds(postgres_server: PostgresServer, tmp_path: Path) -> None:
    check(run_race(postgres_server, tmp_path, ROUNDS_IN_SOAK))


def check(race: Race) -> None:
    print(f"with the locks: {race.told()}")
    assert race.violations() == []
    assert {one.status for one in race.seen} == {200, 404}
    assert race.caught_in_flight() > len(race.rounds) / 2, "the revocations hardly met an opening; the race was none"


@pytest.mark.backend("postgresql")
def test_without_locks_bytes_arrive_after_revocation(postgres_server: PostgresServer, tmp_path: Path) -> None:
    race = run_race(postgres_server, tmp_path, ROUNDS_WITHOUT_LOCKS, "--without-locks")
    print(f"without locks: {race.told()}")

    assert race.violations() != []


@pytest.mark.backend("sqlite")
def test_embedded_hub_sends_no_byte_after_revocation(tmp_path: Path) -> None:
    listener = listen(0)
    settings = Settings(data=tmp_path, public_url=origin(listener), refused_openings=REFUSED)
    signer = TokenSigner(settings.token_issuer, SystemClock())
    service = consent.build(settings, TokenKeys(keys=signer.public))
    upgrade(consent.NAME, service.database)
    server = BackgroundServer(ByPrefix(dict.fromkeys(service.prefixes, service.app)), listener)
    server.start()
    try:
        context: Context = service.app.state.context  # type: ignore[attr-defined]
        race = race_between(context, signer, [listener.getsockname()[1]], ROUNDS_IN_ONE_PROCESS)
    finally:
        server.stop()
        service.close()
    check(race)


def run_race(postgres: PostgresServer, folder: Path, rounds: int, *options: str) -> Race:
    """Run a race between several processes of the consent API and clients spread over them."""
    settings = Settings(database_url=postgres.empty_database(), data=folder, refused_openings=REFUSED)
    signer = TokenSigner(settings.token_issuer, SystemClock())
    with serving(settings, signer, PROCESSES, options) as processes, own_context(settings, signer) as context:
        return race_between(context, signer, [one.port for one in processes], rounds)


def race_between(context: Context, signer: TokenSigner, ports: Sequence[int], rounds: int) -> Race:
    """Let clients open under each round's grant until it is revoked at a random moment; return the race."""
    agency = join(context, signer, "housing")
    race = Race(prepare(context, agency, rounds))
    clients = [
        threading.Thread(target=open_in_a_loop, args=(race, holder(agency, signer), ports[number % len(ports)], number))
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    try:
        revoke_round_by_round(race, ports)
    finally:
        race.over = True
        for client in clients:
            client.join(20)
    return race


def prepare(context: Context, agency: Agency, rounds: int) -> list[Round]:
    """Return the rounds: survivors with several grants each, and an envelope under each grant."""
    made: list[Round] = []
    sizes = Random(1)  # noqa: S311 - nothing here is a secret
    while len(made) < rounds:
        person = register(context, agency.id)
        cookie = open_session(context, person.subject)
        for number in range(min(GRANTS_EACH, rounds - len(made))):
            # Each grant lasts one day longer, because an equal grant given twice is one grant.
            wish = Wish(agency.id, "referral", ["summary", "housing", "safety"], number + 1)
            grant = grants.give_grant(context, person.subject, wish)
            parts = {
                "summary": {"text": "A quiet place. " * (sizes.choice(SIZES) // 15)},
                "housing": {"needs": "A room of her own."},
                "safety": {"needs": "Please call before you come."},
            }
            body = json.dumps({"envelope": sealed(context, grant, parts)}).encode()
            made.append(Round(grant, body, cookie))
    return made


def holder(agency: Agency, signer: TokenSigner) -> Agency:
    """Return another client of the agency, with its own key and token."""
    key = new_key()
    return Agency(agency.id, agency.sector, agency.clock, key, signer.token(agency.id, key))


def open_in_a_loop(race: Race, client: Agency, port: int, number: int) -> None:
    """Open the envelope of the current round again and again, and sometimes that of the next round."""
    connection, url = ClientConnection(port), f"http://127.0.0.1:{port}{PATH}"
    ahead = Random(number)  # noqa: S311 - nothing here is a secret
    while not race.over:
        place = min(race.now + (ahead.random() < 0.2), len(race.rounds) - 1)
        one = race.rounds[place]
        message = request("POST", PATH, client.headers("POST", url), one.body)
        asked = time.time_ns()
        answer = connection.ask(message)
        race.seen.append(Opened(place, asked, answer.status, answer.last))
        if answer.status == 200:
            one.opened.set()
    connection.close()


def revoke_round_by_round(race: Race, ports: Sequence[int]) -> None:
    """Revoke the grant of each round shortly after it was opened, at the processes in turn."""
    connections = [ClientConnection(port) for port in ports]
    moments = Random(2)  # noqa: S311 - nothing here is a secret
    for number, one in enumerate(race.rounds):
        race.now = number
        assert one.opened.wait(20), f"nobody could open in round {number}"
        time.sleep(moments.uniform(0, LONGEST_WAIT))
        message = request("DELETE", f"/my/v1/grants/{one.grant}", {"cookie": f"s={one.cookie}"})
        one.asked = time.time_ns()
        answer = connections[number % len(connections)].ask(message)
        assert answer.status == 204, answer
        one.answered = answer.first
    for connection in connections:
        connection.close()
