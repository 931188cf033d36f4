"""While an opening's bytes leave: what is recorded is true, and who does not read holds nobody's revocation up for long."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from select import poll
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from services.consent import locks
from services.consent.api import opening_response
from services.consent.api.opening_response import OpeningResponse
from services.consent.handlers.disclosures import openings
from services.consent.handlers.disclosures.openings import AT_ONCE, begin_opening
from services.consent.handlers.grants import grants
from services.consent.locks import ProcessLocks
from services.consent.models import plumbing
from tests.support.consent import Agency, House, Person
from tests.support.hubs import eventually
from tests.support.raw_http import ClientConnection, PartialReader, request

PATH = "/consent/v1/openings"
# Far more than a small window takes in.
WORDS = {"summary": {"text": "A quiet place. " * 5000}}
SMALL_WINDOW = 4096
PATIENCE = 20.0
OUTCOMES = {"opening.delivered", "opening.indeterminate"}


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """So much time for receivers that a test can look around meanwhile."""
    monkeypatch.setattr(opening_response, "SEND_SECONDS", PATIENCE)


@pytest.mark.usefixtures("patient")
def test_intent_precedes_first_byte_and_outcome_follows_last(house: House) -> None:
    agency, person = house.agency(), house.person()
    line = ask(house, agency, house.envelope(house.allow(person, agency), WORDS))
    received = line.take()[0]

    assert house.kinds(person)[-1] == "opening.intended"
    assert house.ledger(person)[-1].detail["categories"] == ["summary"]
    received += line.rest(received)
    line.close()
    assert json.loads(received.partition(b"\r\n\r\n")[2])["parts"] == WORDS
    eventually(lambda: house.kinds(person)[-1] == "opening.delivered")


@pytest.mark.usefixtures("patient")
def test_revocation_waits_until_bytes_have_left(house: House) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency)
    line = ask(house, agency, house.envelope(name, WORDS))
    received = line.take()[0]
    revoking = Revoking(house, person, name)

    assert not revoking.done.wait(0.3), "the revocation did not wait for bytes that were still leaving"
    whole = received + line.rest(received)
    line.close()
    assert revoking.done.wait(PATIENCE)
    assert revoking.error is None
    assert json.loads(whole.partition(b"\r\n\r\n")[2])["parts"] == WORDS
    order = ["opening.intended", "opening.delivered", "grant.ended", "key.destroyed"]
    assert house.kinds(person)[-4:] == order


def test_slow_receiver_is_cut_off_before_revocation_is_answered(house: House) -> None:
    """Also not what the kernel had taken in already: judged by the kernel's time of arrival."""
    agency, person = house.agency(), house.person()
    name, session = house.allow(person, agency), house.session(person)
    slow = ask(house, agency, house.envelope(name, WORDS))
    slow.take()
    revoke = ClientConnection(house.port)
    answer = revoke.ask(request("DELETE", f"/my/v1/grants/{name}", {"cookie": f"s={session}"}))
    assert answer.status == 204

    arrived, last = slow.until_cut()
    assert last < answer.first, "bytes of a revoked grant arrived after the answer to the revocation"
    assert b"quiet" in arrived
    assert len(arrived) < len(json.dumps(WORDS))
    order = ["opening.intended", "opening.indeterminate", "grant.ended", "key.destroyed"]
    assert house.kinds(person)[-4:] == order
    assert disclosures(house, name) == ["indeterminate"]
    revoke.close()


def test_receiver_gone_before_answer_is_indeterminate(house: House) -> None:
    agency, person = house.agency(), house.person()
    envelope = house.envelope(house.allow(person, agency))
    before = proofs_used(house)
    with held(house, person):
        line = ask(house, agency, envelope)
        eventually(lambda: proofs_used(house) > before)  # the request is past its gate, and waits for the lock
        line.close()

    eventually(lambda: house.kinds(person)[-1].startswith("opening.") and house.kinds(person)[-1] != "opening.intended")
    assert house.kinds(person)[-1] == "opening.indeterminate"


@pytest.mark.usefixtures("patient")
def test_receiver_gone_half_way_is_indeterminate(house: House) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency)
    line = ask(house, agency, house.envelope(name, WORDS))
    line.take()
    line.close()

    eventually(lambda: house.kinds(person)[-1] == "opening.indeterminate")
    grants.revoke_grant(house.context, person.subject, name)


@pytest.mark.usefixtures("patient")
def test_half_closed_connection_outcome_matches_arrived_bytes(house: House) -> None:
    agency, person = house.agency(), house.person()
    line = ask(house, agency, house.envelope(house.allow(person, agency), WORDS))
    line.socket.shutdown(1)  # nothing more to say, still listening
    arrived, _ = line.until_cut()

    outcome = eventually(lambda: next((kind for kind in house.kinds(person) if kind in OUTCOMES), None))
    assert outcome == "opening.indeterminate" or b"quiet" in arrived[-40:]
    assert outcome in OUTCOMES


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("window", [SMALL_WINDOW, None])
def test_connection_close_header_still_delivers_answer(house: House, window: int | None) -> None:
    agency, person = house.agency(), house.person()
    headers = {"connection": "close"}
    line = ask(house, agency, house.envelope(house.allow(person, agency), WORDS), window, headers)
    arrived, _ = line.until_cut()

    assert json.loads(arrived.partition(b"\r\n\r\n")[2])["parts"] == WORDS
    assert not line.was_reset
    eventually(lambda: house.kinds(person)[-1] == "opening.delivered")


def test_lock_is_released_after_slow_connection_is_dead(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    agency, person = house.agency(), house.person()
    finish, dead = openings.Opening.finish, list[bool]()

    def finishing(opening: openings.Opening, outcome: str) -> None:
        dead.append(is_dead(slow))
        finish(opening, outcome)

    monkeypatch.setattr(openings.Opening, "finish", finishing)
    slow = ask(house, agency, house.envelope(house.allow(person, agency), WORDS))
    slow.take()

    eventually(lambda: house.kinds(person)[-1] == "opening.indeterminate")
    assert dead == [True]
    slow.close()


def test_slow_receiver_delays_change_only_until_timeout(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening_response, "SEND_SECONDS", 0.1)
    agency, person = house.agency(), house.person()
    envelope, took = house.envelope(house.allow(person, agency), WORDS), list[float]()
    for _ in range(3):
        slow, start = ask(house, agency, envelope), time.monotonic()
        slow.take()
        with house.context.locks.changing(person.subject):
            took.append(time.monotonic() - start)
        slow.close()

    # Of several, since a busy machine may hold up one.
    assert min(took) < 0.9
    assert house.kinds(person).count("opening.indeterminate") == 3


def test_one_connection_serves_many_openings(house: House) -> None:
    agency, person = house.agency(), house.person()
    line = PartialReader(house.port)
    for _ in range(20):
        body = json.dumps({"envelope": house.envelope(house.allow(person, agency))}).encode()
        answer = line.ask(request("POST", PATH, agency.headers("POST", house.url + PATH), body))
        assert answer.status == 200
    line.close()

    eventually(lambda: house.kinds(person).count("opening.delivered") == 20)


def test_opening_without_transport_is_indeterminate(house: House) -> None:
    agency, person = house.agency(), house.person()
    response = OpeningResponse(begin_opening(house.context, agency.id, house.envelope(house.allow(person, agency))))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    asyncio.run(response({"type": "http"}, receive, send))
    assert b"quiet" in b"".join(message.get("body", b"") for message in sent)
    assert house.kinds(person)[-1] == "opening.indeterminate"


def test_many_slow_receivers_do_not_block_revocation(house: House) -> None:
    """More slow receivers than the process has threads and connections."""
    agency, person = house.agency(), house.person()
    name, session = house.allow(person, agency), house.session(person)
    envelope = house.envelope(name, WORDS)
    crowd = [ask(house, agency, envelope) for _ in range(3 * AT_ONCE)]
    answers = {line.take()[0][:12] for line in crowd}
    assert answers <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}
    answer = house.my("DELETE", f"/grants/{name}", session)

    assert answer.status_code == 204
    for line in crowd:
        line.close()
    eventually(lambda: not opening_now(house))
    assert house.open(agency, envelope).status_code == 404


def test_opening_during_change_returns_503_with_retry_after(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "SHARED_SECONDS", 0.1)
    agency, person = house.agency(), house.person()
    envelope = house.envelope(house.allow(person, agency))
    with held(house, person):
        answer = house.open(agency, envelope)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["title"] == "Her permissions are just changing. Please try again in a moment."
    assert house.open(agency, envelope).status_code == 200


def test_closed_envelope_during_change_returns_404(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "SHARED_SECONDS", 0.1)
    agency, stranger, person = house.agency(), house.agency(), house.person()
    ended, live = house.allow(person, agency, "legal"), house.allow(person, agency)
    old, envelope = house.envelope(ended), house.envelope(live)
    grants.revoke_grant(house.context, person.subject, ended)
    with held(house, person):
        for who, box in ((agency, old), (stranger, envelope), (stranger, old)):
            closed, never = house.open(who, box), house.open(who, "fw1.bmV2ZXI")
            assert (closed.status_code, closed.content) == (404, never.content)
            batch = house.call(who, "/consent/v1/openings", {"envelopes": [box, "fw1.bmV2ZXI"]}).json()["openings"]
            assert batch[0] == batch[1]

    assert house.kinds(person)[-6:] == ["opening.refused"] * 6
    assert house.open(agency, envelope).status_code == 200


@pytest.mark.usefixtures("patient")
def test_opening_beyond_concurrency_limit_returns_503(house: House) -> None:
    agency, person = house.agency(), house.person()
    envelope = house.envelope(house.allow(person, agency), WORDS)
    small = house.envelope(house.allow(house.person(), agency))
    eventually(lambda: openings._places._value == AT_ONCE)
    crowd = []
    for _ in range(AT_ONCE):
        crowd.append(ask(house, agency, envelope))
        assert crowd[-1].take()[0].startswith(b"HTTP/1.1 200")

    assert house.open(agency, small).status_code == 503
    crowd[0].close()
    eventually(lambda: house.open(agency, small).status_code == 200)
    for line in crowd:
        line.close()


def test_openings_waiting_behind_change_do_not_deadlock_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The change waits for an opening, and as many openings as may be wait behind the change."""
    monkeypatch.setattr(opening_response, "SEND_SECONDS", 0.5)
    agency, person = house.agency(), house.person()
    name, session = house.allow(person, agency), house.session(person)
    envelope = house.envelope(name, WORDS)
    first = ask(house, agency, envelope)
    first.take()
    revoking = Revoking(house, person, name)
    crowd = [ask(house, agency, envelope) for _ in range(2 * AT_ONCE)]

    assert revoking.done.wait(PATIENCE)
    assert revoking.error is None
    statuses = {line.take()[0][9:12] for line in crowd}
    assert statuses <= {b"404", b"503"}
    assert session
    first.close()
    for line in crowd:
        line.close()


class Revoking:
    """A revocation under way in a thread of its own."""

    def __init__(self, house: House, person: Person, grant: UUID) -> None:
        self.done, self.error = threading.Event(), None
        self._act: Callable[[], None] = lambda: grants.revoke_grant(house.context, person.subject, grant)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._act()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error  # type: ignore[assignment]
        self.done.set()


def ask(
    house: House,
    agency: Agency,
    envelope: str,
    window: int | None = SMALL_WINDOW,
    headers: dict[str, str] | None = None,
) -> PartialReader:
    """Ask for an opening and read nothing yet."""
    line = PartialReader(house.port, window)
    body = json.dumps({"envelope": envelope}).encode()
    line.socket.sendall(request("POST", PATH, {**agency.headers("POST", house.url + PATH), **(headers or {})}, body))
    return line


def held(house: House, person: Person) -> Any:
    """Hold a survivor exclusively. (In one process without a transaction, which would keep every other writer out.)"""
    hers = house.context.locks
    if isinstance(hers, ProcessLocks):
        return hers._of(person.subject).exclusive(PATIENCE)
    return hers.changing(person.subject)


def is_dead(line: ClientConnection) -> bool:
    """Whether the kernel has been told that nothing more will come."""
    asking = poll()
    asking.register(line.socket, 0)
    return bool(asking.poll(0))


def proofs_used(house: House) -> int:
    with house.context.database.reading() as connection:
        return int(connection.scalar(select(func.count()).select_from(plumbing.replay)) or 0)


def disclosures(house: House, grant: UUID) -> list[str]:
    """The outcomes of a grant's disclosures, as the bus learns them."""
    table = plumbing.outbox.table
    told = [json.loads(row.payload) for row in house.rows(table, table.c.type == "disclosure.made.v1")]
    return [one["outcome"] for one in told if one["grant"] == str(grant)]


def opening_now(house: House) -> bool:
    """Whether every place for openings can be had."""
    return openings._places._value < AT_ONCE
