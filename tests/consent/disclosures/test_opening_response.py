"""While the bytes of an opening leave, the recorded outcome is true, and a slow receiver delays a revocation only briefly."""

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
# Far more than fits into a small receive window.
PARTS = {"summary": {"text": "A quiet place. " * 5000}}
SMALL_WINDOW = 4096
TIMEOUT = 20.0
OUTCOMES = {"opening.delivered", "opening.indeterminate"}


@pytest.fixture
def long_send_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give receivers so much time that a test can check the state meanwhile."""
    monkeypatch.setattr(opening_response, "SEND_SECONDS", TIMEOUT)


@pytest.mark.usefixtures("long_send_timeout")
def test_intent_precedes_first_byte_and_outcome_follows_last(house: House) -> None:
    agency, person = house.agency(), house.person()
    connection = ask(house, agency, house.envelope(house.allow(person, agency), PARTS))
    received = connection.take()[0]

    assert house.kinds(person)[-1] == "opening.intended"
    assert house.ledger(person)[-1].detail["categories"] == ["summary"]
    received += connection.rest(received)
    connection.close()
    assert json.loads(received.partition(b"\r\n\r\n")[2])["parts"] == PARTS
    eventually(lambda: house.kinds(person)[-1] == "opening.delivered")


@pytest.mark.usefixtures("long_send_timeout")
def test_revocation_waits_until_bytes_have_left(house: House) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency)
    connection = ask(house, agency, house.envelope(name, PARTS))
    received = connection.take()[0]
    revoking = Revoking(house, person, name)

    assert not revoking.done.wait(0.3), "the revocation did not wait for bytes that were still leaving"
    whole = received + connection.rest(received)
    connection.close()
    assert revoking.done.wait(TIMEOUT)
    assert revoking.error is None
    assert json.loads(whole.partition(b"\r\n\r\n")[2])["parts"] == PARTS
    order = ["opening.intended", "opening.delivered", "grant.ended", "key.destroyed"]
    assert house.kinds(person)[-4:] == order


def test_slow_receiver_is_cut_off_before_revocation_is_answered(house: House) -> None:
    """No byte arrives after the answer, by the kernel's arrival times, not even from the send buffer."""
    agency, person = house.agency(), house.person()
    name, session = house.allow(person, agency), house.session(person)
    slow = ask(house, agency, house.envelope(name, PARTS))
    slow.take()
    revoke = ClientConnection(house.port)
    answer = revoke.ask(request("DELETE", f"/my/v1/grants/{name}", {"cookie": f"s={session}"}))
    assert answer.status == 204

    arrived, last = slow.until_cut()
    assert last < answer.first, "bytes of a revoked grant arrived after the answer to the revocation"
    assert b"quiet" in arrived
    assert len(arrived) < len(json.dumps(PARTS))
    order = ["opening.intended", "opening.indeterminate", "grant.ended", "key.destroyed"]
    assert house.kinds(person)[-4:] == order
    assert disclosures(house, name) == ["indeterminate"]
    revoke.close()


def test_receiver_gone_before_answer_is_indeterminate(house: House) -> None:
    agency, person = house.agency(), house.person()
    envelope = house.envelope(house.allow(person, agency))
    before = proofs_used(house)
    with held(house, person):
        connection = ask(house, agency, envelope)
        eventually(lambda: proofs_used(house) > before)  # the request is authenticated, and waits for the lock
        connection.close()

    eventually(lambda: house.kinds(person)[-1].startswith("opening.") and house.kinds(person)[-1] != "opening.intended")
    assert house.kinds(person)[-1] == "opening.indeterminate"


@pytest.mark.usefixtures("long_send_timeout")
def test_receiver_gone_half_way_is_indeterminate(house: House) -> None:
    agency, person = house.agency(), house.person()
    name = house.allow(person, agency)
    connection = ask(house, agency, house.envelope(name, PARTS))
    connection.take()
    connection.close()

    eventually(lambda: house.kinds(person)[-1] == "opening.indeterminate")
    grants.revoke_grant(house.context, person.subject, name)


@pytest.mark.usefixtures("long_send_timeout")
def test_half_closed_connection_outcome_matches_arrived_bytes(house: House) -> None:
    agency, person = house.agency(), house.person()
    connection = ask(house, agency, house.envelope(house.allow(person, agency), PARTS))
    connection.socket.shutdown(1)  # half-closed: sends no more, still reads
    arrived, _ = connection.until_cut()

    outcome = eventually(lambda: next((kind for kind in house.kinds(person) if kind in OUTCOMES), None))
    assert outcome == "opening.indeterminate" or b"quiet" in arrived[-40:]
    assert outcome in OUTCOMES


@pytest.mark.usefixtures("long_send_timeout")
@pytest.mark.parametrize("window", [SMALL_WINDOW, None])
def test_connection_close_header_still_delivers_answer(house: House, window: int | None) -> None:
    agency, person = house.agency(), house.person()
    headers = {"connection": "close"}
    connection = ask(house, agency, house.envelope(house.allow(person, agency), PARTS), window, headers)
    arrived, _ = connection.until_cut()

    assert json.loads(arrived.partition(b"\r\n\r\n")[2])["parts"] == PARTS
    assert not connection.was_reset
    eventually(lambda: house.kinds(person)[-1] == "opening.delivered")


def test_lock_is_released_after_slow_connection_is_dead(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    agency, person = house.agency(), house.person()
    finish, dead = openings.Opening.finish, list[bool]()

    def finishing(opening: openings.Opening, outcome: str) -> None:
        dead.append(is_dead(slow))
        finish(opening, outcome)

    monkeypatch.setattr(openings.Opening, "finish", finishing)
    slow = ask(house, agency, house.envelope(house.allow(person, agency), PARTS))
    slow.take()

    eventually(lambda: house.kinds(person)[-1] == "opening.indeterminate")
    assert dead == [True]
    slow.close()


def test_slow_receiver_delays_change_only_until_timeout(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening_response, "SEND_SECONDS", 0.1)
    agency, person = house.agency(), house.person()
    envelope, took = house.envelope(house.allow(person, agency), PARTS), list[float]()
    for _ in range(3):
        slow, start = ask(house, agency, envelope), time.monotonic()
        slow.take()
        with house.context.locks.changing(person.subject):
            took.append(time.monotonic() - start)
        slow.close()

    # The fastest of three, because a busy machine may delay one.
    assert min(took) < 0.9
    [told] = [entry for entry in house.ledger(person) if entry.kind == "opening.indeterminate"]
    assert told.times == 3


def test_one_connection_serves_many_openings(house: House) -> None:
    agency, person = house.agency(), house.person()
    connection = PartialReader(house.port)
    for _ in range(20):
        body = json.dumps({"envelope": house.envelope(house.allow(person, agency))}).encode()
        answer = connection.ask(request("POST", PATH, agency.headers("POST", house.url + PATH), body))
        assert answer.status == 200
    connection.close()

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
    """There are more slow receivers than the process has threads and connections."""
    agency, person = house.agency(), house.person()
    name, session = house.allow(person, agency), house.session(person)
    envelope = house.envelope(name, PARTS)
    crowd = [ask(house, agency, envelope) for _ in range(3 * AT_ONCE)]
    answers = {connection.take()[0][:12] for connection in crowd}
    assert answers <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}
    answer = house.my("DELETE", f"/grants/{name}", session)

    assert answer.status_code == 204
    for connection in crowd:
        connection.close()
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
        for caller, tried in ((agency, old), (stranger, envelope), (stranger, old)):
            closed, never = house.open(caller, tried), house.open(caller, "fw1.bmV2ZXI")
            assert (closed.status_code, closed.content) == (404, never.content)
            batch = house.call(caller, "/consent/v1/openings", {"envelopes": [tried, "fw1.bmV2ZXI"]}).json()["openings"]
            assert batch[0] == batch[1]

    told = house.ledger(person)[-3:]
    assert [(entry.kind, entry.times) for entry in told] == [("opening.refused", 2)] * 3
    assert house.open(agency, envelope).status_code == 200


@pytest.mark.usefixtures("long_send_timeout")
def test_opening_beyond_concurrency_limit_returns_503(house: House) -> None:
    agency, person = house.agency(), house.person()
    small = house.envelope(house.allow(house.person(), agency))
    eventually(lambda: openings._places.free == AT_ONCE)
    askers = [house.agency() for _ in range(AT_ONCE)]
    # Before any opening: each grant waits for her exclusive lock.
    envelopes = [house.envelope(house.allow(person, one), PARTS) for one in askers]
    crowd = []
    for asked in zip(askers, envelopes, strict=True):
        crowd.append(ask(house, *asked))
        assert crowd[-1].take()[0].startswith(b"HTTP/1.1 200")

    assert house.open(agency, small).status_code == 503
    crowd[0].close()
    eventually(lambda: house.open(agency, small).status_code == 200)
    for connection in crowd:
        connection.close()


@pytest.mark.usefixtures("long_send_timeout")
@pytest.mark.parametrize("greedy", [1, 2])
def test_agency_with_full_windows_leaves_places_free(house: House, greedy: int) -> None:
    """Each holds as many openings as it gets, for as long as it likes; the others are served as before."""
    others, person = [house.agency() for _ in range(6)], house.person()
    small = [house.envelope(house.allow(house.person(), one)) for one in others]
    eventually(lambda: openings._places.free == AT_ONCE)
    takers = [house.agency() for _ in range(greedy)]
    envelopes = [house.envelope(house.allow(person, one), PARTS) for one in takers]
    crowd = [ask(house, *asked) for asked in zip(takers, envelopes, strict=True) for _ in range(AT_ONCE)]
    for connection in crowd:
        connection.take()

    assert AT_ONCE - openings._places.free <= greedy * AT_ONCE // 3
    for _ in range(5):
        assert [house.open(*asked).status_code for asked in zip(others, small, strict=True)] == [200] * len(others)
    for connection in crowd:
        connection.close()


def test_openings_waiting_behind_change_do_not_deadlock_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The change waits for an opening, and as many openings as the limit allows wait behind the change."""
    monkeypatch.setattr(opening_response, "SEND_SECONDS", 0.5)
    agency, person = house.agency(), house.person()
    name, session = house.allow(person, agency), house.session(person)
    envelope = house.envelope(name, PARTS)
    first = ask(house, agency, envelope)
    first.take()
    revoking = Revoking(house, person, name)
    crowd = [ask(house, agency, envelope) for _ in range(2 * AT_ONCE)]

    assert revoking.done.wait(TIMEOUT)
    assert revoking.error is None
    statuses = {connection.take()[0][9:12] for connection in crowd}
    assert statuses <= {b"404", b"503"}
    assert session
    first.close()
    for connection in crowd:
        connection.close()


class Revoking:
    """A revocation that runs in its own thread."""

    def __init__(self, house: House, person: Person, grant: UUID) -> None:
        self.done, self.error = threading.Event(), None
        self._act: Callable[[], None] = lambda: grants.revoke_grant(house.context, person.subject, grant)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._act()
        except Exception as error:  # noqa: BLE001 - the test checks it
            self.error = error  # type: ignore[assignment]
        self.done.set()


def ask(
    house: House,
    agency: Agency,
    envelope: str,
    window: int | None = SMALL_WINDOW,
    headers: dict[str, str] | None = None,
) -> PartialReader:
    """Request an opening and return the connection before anything is read."""
    connection = PartialReader(house.port, window)
    body = json.dumps({"envelope": envelope}).encode()
    connection.socket.sendall(
        request("POST", PATH, {**agency.headers("POST", house.url + PATH), **(headers or {})}, body)
    )
    return connection


def held(house: House, person: Person) -> Any:
    """Hold the exclusive lock of a survivor; on SQLite without a transaction, which would block every other writer."""
    hers = house.context.locks
    if isinstance(hers, ProcessLocks):
        return hers._of(person.subject).exclusive(TIMEOUT)
    return hers.changing(person.subject)


def is_dead(connection: ClientConnection) -> bool:
    """Tell whether the kernel knows that no more bytes will come."""
    asking = poll()
    asking.register(connection.socket, 0)
    return bool(asking.poll(0))


def proofs_used(house: House) -> int:
    with house.context.database.reading() as connection:
        return int(connection.scalar(select(func.count()).select_from(plumbing.replay)) or 0)


def disclosures(house: House, grant: UUID) -> list[str]:
    """Return the outcomes of the disclosures under a grant, from the outbox."""
    table = plumbing.outbox.table
    told = [json.loads(row.payload) for row in house.rows(table, table.c.type == "disclosure.made.v1")]
    return [one["outcome"] for one in told if one["grant"] == str(grant)]


def opening_now(house: House) -> bool:
    """Tell whether any opening is under way."""
    return openings._places.free < AT_ONCE
