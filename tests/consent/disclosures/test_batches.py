"""A batch of envelopes: each has its own result in request order, under the same promises as a single opening."""

import json
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from sqlalchemy import event

from services.common import metrics
from services.common.envelope import read, write
from services.common.http import app
from services.consent.agency_quotas import SharedPlaces
from services.consent.api.agencies import LARGER
from services.consent.handlers.disclosures import openings
from services.consent.handlers.disclosures.openings import begin_openings
from services.consent.handlers.grants import grants
from services.consent.handlers.rights import erasure
from services.consent.ledger import entries as ledger
from services.consent.models import plumbing
from tests.consent.disclosures.test_opening_response import held
from tests.consent.disclosures.test_openings import NEVER, flipped, settled
from tests.support.consent import SUMMARY, Agency, House, Person

PATH = "/consent/v1/openings"
NOTHING = {"type": "urn:fireweed:problem:not-found", "title": "Not found.", "status": 404}


def open_all(house: House, agency: Agency, envelopes: list[str]) -> list[dict[str, Any]]:
    answer = house.call(agency, PATH, {"envelopes": envelopes})
    assert answer.status_code == 200, answer.text
    told: list[dict[str, Any]] = answer.json()["openings"]
    assert len(told) == len(envelopes)
    return told


def allowed(house: House, agency: Agency, *categories: str) -> tuple[Person, str]:
    person = house.person(agency)
    return person, house.envelope(house.allow(person, agency, *categories))


def test_batch_returns_each_result_in_request_order(house: House) -> None:
    """The field's reference proxy drops permitted and releases denied results if one of a bundle has an unknown subject."""
    agency, stranger = house.agency(), house.agency()
    one, first = allowed(house, agency)
    two, second = allowed(house, agency)
    gone, revoked = allowed(house, agency)
    grants.revoke_all(house.context, gone.subject)
    _, foreign = allowed(house, stranger)
    broken = write(replace(read(first), parts={"summary": flipped(read(first).parts["summary"])}))
    told = open_all(house, agency, [NEVER, first, revoked, foreign, second, "", broken, first])

    assert [result["status"] for result in told] == [404, 200, 404, 404, 200, 404, 404, 200]
    assert all(result == NOTHING for result in told if result["status"] == 404)
    assert [told[place]["ppid"] for place in (1, 4, 7)] == [one.ppid, two.ppid, one.ppid]
    assert all(told[place]["parts"] == {"summary": SUMMARY} for place in (1, 4, 7))
    assert open_all(house, agency, [NEVER, revoked, foreign]) == [NOTHING] * 3


def test_batch_result_equals_single_opening(house: House) -> None:
    agency = house.agency()
    _, envelope = allowed(house, agency)
    alone, among = house.open(agency, envelope).json(), open_all(house, agency, [NEVER, envelope])[1]

    assert among.pop("status") == 200
    assert among.keys() == alone.keys()
    # Each answer has an entry of its own, and a token that is never the same twice.
    own = {"ledger", "consent_epoch"}
    assert {name: among[name] for name in among.keys() - own} == {name: alone[name] for name in alone.keys() - own}


def test_batch_records_each_result_in_its_survivors_ledger(house: House) -> None:
    agency, stranger = house.agency(), house.agency()
    one, first = allowed(house, agency)
    two, second = allowed(house, stranger)
    broken = write(replace(read(first), key=flipped(read(first).key)))
    told = open_all(house, agency, [first, second, broken])

    entries = settled(house, one, 4)
    kinds = ["opening.intended", "opening.intended", "opening.delivered", "opening.refused"]
    assert [entry.kind for entry in entries] == kinds
    assert told[0]["ledger"] == entries[0].position
    assert entries[0].detail["opening"] == entries[2].detail["opening"] != entries[3].detail["opening"]
    [refused] = settled(house, two, 1)
    assert (refused.kind, refused.agency, refused.detail["foreign"]) == ("opening.refused", agency.id, True)
    table = plumbing.outbox.table
    rows = [json.loads(row.payload) for row in house.rows(table, table.c.type == "disclosure.made.v1")]
    for envelope, outcomes in ((first, ["delivered"]), (second, [])):
        assert [row["outcome"] for row in rows if row["grant"] == read(envelope).header.grant] == outcomes


def test_opening_that_cannot_be_recorded_sends_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds for a single envelope and for a batch."""
    agency = house.agency()
    person, envelope = allowed(house, agency)

    def fail(*_: object) -> int:
        raise OSError("the disk is full")

    monkeypatch.setattr(ledger, "append", fail)
    for body in ({"envelope": envelope}, {"envelopes": [envelope, envelope]}):
        answer = house.call(agency, PATH, body)
        assert answer.status_code == 500
        assert "quiet" not in answer.text
    monkeypatch.undo()
    grants.revoke_all(house.context, person.subject)
    assert "opening.delivered" not in house.kinds(person)


def test_batch_returns_503_only_for_survivor_being_changed(house: House) -> None:
    agency = house.agency()
    busy, first = allowed(house, agency)
    _, second = allowed(house, agency)
    with held(house, busy):
        told = open_all(house, agency, [first, second])

    assert [result["status"] for result in told] == [503, 200]
    assert told[0].keys() == {"type", "title", "status"}
    assert [result["status"] for result in open_all(house, agency, [first, second])] == [200, 200]


def test_revocation_waits_for_batch_then_closes_envelope(house: House) -> None:
    agency = house.agency()
    people = [allowed(house, agency) for _ in range(5)]
    opening = begin_openings(house.context, agency.id, [envelope for _, envelope in people])
    person, _ = people[3]
    done = threading.Event()

    def revoke() -> None:
        grants.revoke_all(house.context, person.subject)
        done.set()

    revoking = threading.Thread(target=revoke)
    revoking.start()
    assert not done.wait(0.2)
    opening.finish("delivered")
    assert done.wait(10)
    revoking.join()
    statuses = [result["status"] for result in open_all(house, agency, [envelope for _, envelope in people])]
    assert statuses == [200, 200, 200, 404, 200]
    assert house.kinds(person)[-5:-1] == ["opening.intended", "opening.delivered", "grant.ended", "key.destroyed"]


def test_batch_query_count_does_not_grow_with_size(house: House) -> None:
    agency = house.agency()
    envelopes = [allowed(house, agency)[1] for _ in range(12)]

    def questions(texts: list[str]) -> int:
        asked: list[str] = []
        listen = lambda *arguments: asked.append(arguments[2])  # noqa: E731 - kept by name to be removed again
        event.listen(house.context.database.engine, "before_cursor_execute", listen)
        begin_openings(house.context, agency.id, texts).finish("delivered")
        event.remove(house.context.database.engine, "before_cursor_execute", listen)
        return len(asked)

    assert questions(envelopes[2:]) <= questions(envelopes[:2])


def test_batch_size_is_limited_and_body_may_be_large(house: House) -> None:
    agency = house.agency()
    assert house.call(agency, PATH, {"envelopes": [NEVER] * 200}).status_code == 200
    wrong: list[dict[str, object]] = [{"envelopes": [NEVER] * 201}, {"envelopes": []}, {}]
    for body in (*wrong, {"envelope": NEVER, "envelopes": [NEVER]}):
        answer = house.call(agency, PATH, body)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    long = NEVER + "x" * 4000
    assert len(long) * 200 > app.MAX_BODY
    assert house.call(agency, PATH, {"envelopes": [long] * 200}).status_code == 200
    assert LARGER[PATH] < 399_000 * 12
    assert house.call(agency, PATH, {"envelopes": [NEVER + "x" * 399_000] * 12}).status_code == 413
    # The larger limit holds only for that path.
    assert house.call(agency, "/consent/v1/links", {"link_code": "x" * app.MAX_BODY}).status_code == 413


def test_batch_beyond_concurrency_limit_returns_503(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    agency = house.agency()
    _, envelope = allowed(house, agency)
    monkeypatch.setattr(openings, "_batch_places", SharedPlaces(1))
    first = begin_openings(house.context, agency.id, [envelope, NEVER])
    try:
        answer = house.call(agency, PATH, {"envelopes": [envelope, NEVER]})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["title"] == "Too many boxes are being opened. Please try again in a moment."
        assert house.open(agency, envelope).status_code == 200
    finally:
        first.finish("delivered")
    assert house.call(agency, PATH, {"envelopes": [envelope, NEVER]}).status_code == 200


def test_consecutive_batches_on_one_connection_never_get_503(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    agency = house.agency()
    _, envelope = allowed(house, agency)
    record = openings._record_outcomes

    def record_slowly(*arguments: Any) -> None:
        time.sleep(0.3)
        record(*arguments)

    monkeypatch.setattr(openings, "_batch_places", SharedPlaces(1))
    monkeypatch.setattr(openings, "_record_outcomes", record_slowly)
    answers = [house.call(agency, PATH, {"envelopes": [envelope, NEVER]}).status_code for _ in range(3)]

    assert answers == [200, 200, 200]


def test_openings_metric_counts_outcomes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    agency = house.agency()
    _, envelope = allowed(house, agency)
    reader = InMemoryMetricReader()
    meter = MeterProvider(metric_readers=[reader]).get_meter("test")
    monkeypatch.setattr(metrics, "openings", meter.create_counter("fireweed.openings"))
    begin_openings(house.context, agency.id, [envelope, NEVER, envelope]).finish("delivered")

    data: Any = reader.get_metrics_data()
    [counted] = data.resource_metrics[0].scope_metrics[0].metrics
    told = {point.attributes["outcome"]: point.value for point in counted.data.data_points}
    assert told == {"delivered": 2, "refused": 1}


def test_batch_returns_404_for_envelopes_of_erased_survivor(house: House) -> None:
    agency = house.agency()
    person, envelope = allowed(house, agency)
    _, other = allowed(house, agency)
    erasure.erase(house.context, person.subject)
    later = house.person(agency)
    house.allow(later, agency)

    assert [one["status"] for one in open_all(house, agency, [envelope, other, envelope])] == [404, 200, 404]
