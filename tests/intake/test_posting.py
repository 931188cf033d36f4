"""Taking events in, on SQLite and PostgreSQL: decided anew each time, sealed or withheld, kept once, and all or nothing."""

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from deploy.testing.postgresql import PostgresServer
from services.common.envelope import read
from services.common.errors import Problem
from services.common.messaging import contracts
from services.intake import models
from services.intake.domain import Result
from services.intake.posting import post, raise_if_rejected
from tests.support.clocks import NOON, StillClock
from tests.support.front_door import LINKED, UNLINKED, Decider, FrontDoor, capacity, event, front_door, referral
from tests.support.hubs import eventually

THREADS = 8
NEED = {"type": "need.recorded.v1", "subject": "ppid-of-sample-aspen"}
NEED_DATA = {"need": "N02", "stage": "crisis", "region": "toronto"}
PSEUDONYM = "s-" + "a" * 26


@pytest.fixture
def agencies(door: FrontDoor) -> tuple[str, str]:
    return door.agency(), door.agency("Sample Shelter", "housing")


def one(door: FrontDoor, agency: str, document: object) -> Result:
    [result] = post(door.context, agency, [document])
    return result


def at_once(door: FrontDoor, agency: str, batches: list[list[dict[str, Any]]]) -> list[list[Result]]:
    """Post each batch in a thread of its own, all begun together."""
    ready = threading.Barrier(len(batches))

    def run(batch: list[dict[str, Any]]) -> list[Result]:
        ready.wait(20)
        return post(door.context, agency, batch)

    with ThreadPoolExecutor(len(batches)) as pool:
        return list(pool.map(run, batches))


def test_permitted_parts_are_sealed_to_the_grant_and_nothing_else_is_kept_of_the_rest(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary", "health")
    document = event(sender, referral(recipient))

    result = one(door, sender, document)

    assert result.status == "accepted"
    assert result.parts == {"summary": "sealed", "housing": "withheld"}
    [(kind, key, data)] = door.sent()
    assert (kind, key) == ("referral.sealed.v1", result.thread)
    assert data["categories"] == ["summary"]
    assert consent.open(data["envelope"]) == {"summary": document["data"]["parts"]["summary"]}
    assert contracts.faults(kind, data) == []


def test_the_box_is_bound_to_its_recipient_grant_epoch_and_referral(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary", epoch=41)
    result = one(door, sender, event(sender, referral(recipient)))
    [(_, _, data)] = door.sent()
    header = read(data["envelope"]).header
    assert (header.recipient, header.grant, header.epoch, header.id) == (recipient, consent.grant, 41, result.thread)
    assert (data["grant"], data["epoch"], data["from"], data["to"]) == (consent.grant, 41, sender, recipient)


def test_her_ppid_and_her_words_stay_behind(door: FrontDoor, consent: Decider, agencies: tuple[str, str]) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary", "housing")
    one(door, sender, event(sender, referral(recipient)))
    with door.context.database.reading() as connection:
        tables = ("outbox", "posted_event")
        rows = [row for name in tables for row in connection.exec_driver_sql(f"SELECT * FROM {name}")]  # noqa: S608
    everything = repr([[bytes(cell) if isinstance(cell, memoryview) else cell for cell in row] for row in rows])
    for word in ("ppid-of-sample-aspen", "Aspen", "quiet", "A room of her own"):
        assert word not in everything


def test_consent_is_asked_for_exactly_what_would_be_sealed(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    one(door, sender, event(sender, referral(recipient)))
    [[asked]] = consent.asked
    assert asked == {
        "agency": sender,
        "ppid": "ppid-of-sample-aspen",
        "to": recipient,
        "purpose": "referral",
        "categories": ["housing", "summary"],
    }


def test_consent_is_asked_once_for_a_whole_batch_and_not_at_all_for_events_about_nobody(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary")
    post(door.context, sender, [event(sender, capacity()) for _ in range(3)])
    assert consent.asked == []
    post(door.context, sender, [event(sender, referral(recipient)) for _ in range(3)] + [event(sender, capacity())])
    assert [len(asked) for asked in consent.asked] == [3]


def test_without_a_grant_nothing_is_kept_and_the_same_event_may_be_posted_again_later(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    document = event(sender, referral(recipient))
    consent.decide = lambda _sending: LINKED
    refused = one(door, sender, document)
    assert (refused.status, refused.reason) == ("withheld", "no-consent")
    assert set(refused.parts.values()) == {"withheld"}
    assert (door.kept(), door.sent()) == ({}, [])

    consent.decide = lambda _sending: consent.permit("summary")
    assert one(door, sender, document).status == "accepted"


def test_a_grant_for_other_categories_only_withholds_the_event(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("legal")
    assert one(door, sender, event(sender, referral(recipient))).status == "withheld"
    assert (door.kept(), door.sent()) == ({}, [])


def test_a_decision_is_asked_for_anew_each_time(door: FrontDoor, consent: Decider, agencies: tuple[str, str]) -> None:
    sender, recipient = agencies
    for permitted, status in ((True, "accepted"), (False, "withheld"), (True, "accepted")):
        consent.decide = lambda _sending, yes=permitted: consent.permit("summary") if yes else LINKED  # type: ignore[misc]
        assert one(door, sender, event(sender, referral(recipient))).status == status
    assert len(consent.asked) == 3


def test_somebody_the_agency_is_not_linked_to_is_refused_without_a_word_on_why(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: UNLINKED
    result = one(door, sender, event(sender, referral(recipient)))
    assert (result.status, result.reason) == ("rejected", "invalid")
    assert [fault.member for fault in result.faults] == ["/subject"]
    assert (door.kept(), door.sent()) == ({}, [])


@pytest.mark.parametrize("ppid", ["\x00", "two words", "é", "x" * 65, ""])
def test_a_ppid_that_could_not_be_one_is_refused_before_anybody_is_asked(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str], ppid: str
) -> None:
    sender, recipient = agencies
    result = one(door, sender, event(sender, referral(recipient, ppid)))
    assert (result.status, [fault.member for fault in result.faults]) == ("rejected", ["/subject"])
    assert consent.asked == []


def test_a_need_is_counted_only_for_who_agreed_to_be_counted(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, _ = agencies
    consent.decide = lambda _sending: LINKED
    uncounted = one(door, sender, event(sender, {**NEED, "data": NEED_DATA}))
    assert (uncounted.status, uncounted.reason) == ("withheld", "not-counted")
    assert (door.kept(), door.sent()) == ({}, [])

    consent.decide = lambda _sending: LINKED | {"statistics": PSEUDONYM}
    assert one(door, sender, event(sender, {**NEED, "data": NEED_DATA})).status == "accepted"
    [(kind, _, data)] = door.sent()
    assert kind == "need.counted.v1"
    assert data == NEED_DATA | {"agency": sender, "statistics": PSEUDONYM}
    assert consent.asked[-1][0]["categories"] == []


@pytest.mark.parametrize(
    ("given", "counted"),
    [("2026-04-01T00:00:00+00:00", None), ("2026-03-31T23:59:59+00:00", NOON), ("0001-01-01T00:00:00+00:00", NOON)],
)
def test_a_need_is_counted_in_the_year_whose_pseudonym_it_carries(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str], given: str, counted: datetime | None
) -> None:
    sender, _ = agencies
    consent.decide = lambda _sending: LINKED | {"statistics": PSEUDONYM}
    assert one(door, sender, event(sender, {**NEED, "data": NEED_DATA}, time=given)).status == "accepted"
    with door.context.database.reading() as connection:
        [headers] = [
            row.headers for row in door.context.outbox.oldest(connection, 0, 9) if row.type == "need.counted.v1"
        ]
    assert json.loads(headers)["ce_time"] == (counted.isoformat() if counted else given)


def test_a_referral_is_of_the_day_on_which_it_was_taken_whose_pseudonym_it_carries(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary", statistics=PSEUDONYM)
    one(door, sender, event(sender, referral(recipient), time="2026-03-31T23:59:59+00:00"))
    with door.context.database.reading() as connection:
        rows = door.context.outbox.oldest(connection, 0, 9)
        [headers] = [row.headers for row in rows if row.type == "referral.sealed.v1"]
    assert json.loads(headers)["ce_time"] == NOON.isoformat()


@pytest.mark.parametrize("statistics", [None, PSEUDONYM])
def test_a_referral_is_counted_only_for_who_agreed_to_be_counted(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str], statistics: str | None
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary", statistics=statistics)
    one(door, sender, event(sender, referral(recipient)))
    [(_, _, data)] = door.sent()
    assert data.get("statistics") == statistics


def test_an_event_about_nobody_goes_on_as_it_was_posted(door: FrontDoor, agencies: tuple[str, str]) -> None:
    sender, _ = agencies
    document = event(sender, capacity())
    assert one(door, sender, document).status == "accepted"
    assert door.sent() == [("capacity.declared.v1", sender, document["data"])]


def test_an_answer_to_a_referral_is_ordered_by_that_referral(door: FrontDoor, agencies: tuple[str, str]) -> None:
    sender, _ = agencies
    thread = "0192f0c1-5b7e-7a30-8c11-2f64d1a0b9e3"
    result = one(door, sender, event(sender, {"type": "referral.accepted.v1", "data": {"referral": thread}}))
    assert result.thread == thread
    [(_, key, _)] = door.sent()
    assert key == thread


def test_an_offer_begins_a_thread_of_its_own(door: FrontDoor, agencies: tuple[str, str]) -> None:
    sender, _ = agencies
    data = {"need": "N02", "stage": "crisis", "region": "toronto", "urgency": "24h"}
    first, second = (one(door, sender, event(sender, {"type": "offer.opened.v1", "data": data})) for _ in range(2))
    assert first.thread != second.thread
    assert [key for _, key, _ in door.sent()] == [first.thread, second.thread]


def test_the_same_event_again_is_a_duplicate_with_the_first_result(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary")
    document = event(sender, referral(recipient))
    first = one(door, sender, document)
    consent.decide = lambda _sending: LINKED  # whatever became of her consent meanwhile
    again = one(door, sender, dict(reversed(document.items())))
    assert (again.status, again.thread, again.parts) == ("duplicate", first.thread, first.parts)
    assert len(consent.asked) == 1
    assert len(door.sent()) == 1


def test_the_same_id_with_other_content_is_refused_and_the_first_stays(
    door: FrontDoor, agencies: tuple[str, str]
) -> None:
    sender, _ = agencies
    document = event(sender, capacity())
    one(door, sender, document)
    other = one(door, sender, document | capacity(available=0))
    assert (other.status, other.reason) == ("rejected", "id-reused")
    assert [fault.member for fault in other.faults] == ["/id"]
    assert door.sent() == [("capacity.declared.v1", sender, document["data"])]


def test_two_agencies_may_use_the_same_id(door: FrontDoor, agencies: tuple[str, str]) -> None:
    results = [one(door, agency, event(agency, capacity(), id="same")) for agency in agencies]
    assert [result.status for result in results] == ["accepted", "accepted"]
    assert [key for _, key, _ in door.sent()] == list(agencies)


def test_one_bad_event_in_a_batch_rejects_that_event_only(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda sending: UNLINKED if sending["ppid"] == "nobody" else consent.permit("summary")
    good = [event(sender, capacity()), event(sender, referral(recipient))]
    bad: list[Any] = [
        event(sender, capacity(region="atlantis")),
        event("agency-zzzzzzzzzz", capacity()),
        event(sender, referral(recipient, "nobody")),
        "not an event",
    ]
    results = post(door.context, sender, [bad[0], good[0], bad[1], bad[2], good[1], bad[3]])
    statuses = [result.status for result in results]
    assert statuses == ["rejected", "accepted", "rejected", "rejected", "accepted", "rejected"]
    assert sorted(door.kept()) == sorted(document["id"] for document in good)
    assert [kind for kind, _, _ in door.sent()] == ["capacity.declared.v1", "referral.sealed.v1"]


def test_results_and_outbox_keep_the_order_of_the_batch(door: FrontDoor, agencies: tuple[str, str]) -> None:
    sender, _ = agencies
    documents = [event(sender, capacity(available=number % 12), id=f"e{99 - number}") for number in range(50)]
    results = post(door.context, sender, documents)
    assert [result.id for result in results] == [document["id"] for document in documents]
    assert [data for _, _, data in door.sent()] == [document["data"] for document in documents]


def test_the_same_event_twice_in_one_batch_is_taken_once_and_told_the_same(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary")
    document = event(sender, referral(recipient))
    first, second = post(door.context, sender, [document, document])
    assert (first.status, second.status) == ("accepted", "duplicate")
    assert (second.thread, second.parts) == (first.thread, first.parts)
    assert len(door.sent()) == 1


def test_a_withheld_event_twice_in_one_batch_is_withheld_twice(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: LINKED
    document = event(sender, referral(recipient))
    results = post(door.context, sender, [document, document])
    assert [result.status for result in results] == ["withheld", "withheld"]
    assert (door.kept(), door.sent()) == ({}, [])


def test_one_id_for_two_events_in_one_batch_takes_the_first_only(door: FrontDoor, agencies: tuple[str, str]) -> None:
    sender, _ = agencies
    first = event(sender, capacity())
    results = post(door.context, sender, [first, first | capacity(available=0), first])
    assert [result.status for result in results] == ["accepted", "rejected", "duplicate"]
    assert results[1].reason == "id-reused"
    assert [data for _, _, data in door.sent()] == [first["data"]]


def test_an_event_posted_by_many_at_once_is_accepted_exactly_once(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    undecided = threading.Barrier(THREADS)

    def decide(_sending: object) -> dict[str, Any]:
        undecided.wait(20)  # until every request has seen that the event is new
        return consent.permit("summary")

    consent.decide = decide
    document = event(sender, referral(recipient))
    results = [result for [result] in at_once(door, sender, [[document]] * THREADS)]
    assert Counter(result.status for result in results) == {"accepted": 1, "duplicate": THREADS - 1}
    assert len({result.thread for result in results}) == 1
    assert all(result.parts == {"summary": "sealed", "housing": "withheld"} for result in results)
    [(_, key, _)] = door.sent()
    assert key == results[0].thread


def test_of_two_events_with_one_id_at_once_the_second_is_refused(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    undecided = threading.Barrier(2)

    def decide(_sending: object) -> dict[str, Any]:
        undecided.wait(20)
        return consent.permit("summary")

    consent.decide = decide
    batches = [[event(sender, referral(recipient, need=need), id="same")] for need in ("N02", "N03")]
    results = [result for [result] in at_once(door, sender, batches)]
    assert sorted(result.status for result in results) == ["accepted", "rejected"]
    assert len(door.sent()) == 1


def test_batches_of_the_same_events_at_once_keep_each_event_once(door: FrontDoor, agencies: tuple[str, str]) -> None:
    sender, _ = agencies
    documents = [event(sender, capacity()) for _ in range(200)]
    results = at_once(door, sender, [documents, documents[::-1], documents[:100], documents[100:]])
    assert Counter(result.status for batch in results for result in batch) == {"accepted": 200, "duplicate": 400}
    assert sorted(door.kept()) == sorted(document["id"] for document in documents)
    assert len(door.sent()) == 200


@pytest.mark.backend("postgresql")
@pytest.mark.parametrize("events", [9, 90])
def test_batches_that_cross_each_other_do_not_wait_in_a_circle(
    postgres_server: PostgresServer, tmp_path: Path, events: int
) -> None:
    url = postgres_server.empty_database().replace("postgresql://", "postgresql+psycopg://")
    with front_door(tmp_path, "http://127.0.0.1:1", StillClock(), url) as door:
        sender = door.agency()
        documents = [event(sender, capacity(), id=f"e{number:03d}") for number in range(events)]
        engine = door.context.database.engine
        # Somebody holds the event in the middle, so that both batches come as far as that and wait there.
        row = {
            "source": sender,
            "id": "e005",
            "type": "x",
            "status": "x",
            "parts": {},
            "digest": b"",
            "received_at": NOON,
        }
        with engine.connect() as holder, engine.connect() as looker, ThreadPoolExecutor(2) as pool:
            holder.execute(models.posted.insert(), row)
            waiting = [pool.submit(post, door.context, sender, batch) for batch in (documents, documents[::-1])]
            blocked = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            eventually(lambda: looker.scalar(blocked) == 2)
            holder.rollback()
            results = [result.status for batch in waiting for result in batch.result(20)]
        assert Counter(results) == {"accepted": events, "duplicate": events}
        assert len(door.sent()) == events


def test_what_another_request_stored_a_moment_before_keeps_no_other_event_of_a_batch(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    batch = [event(sender, referral(recipient)) for _ in range(30)]
    other = event(sender, referral(recipient, need="N03"), id=batch[7]["id"])
    before = [[batch[3]], [other]]

    def decide(_sending: object) -> dict[str, Any]:
        if before:  # the batch was just seen to be new
            post(door.context, sender, before.pop())
        return consent.permit("summary")

    consent.decide = decide
    results = post(door.context, sender, batch)
    [refused] = [result for result in results if result.status == "rejected"]
    assert (refused, refused.reason) == (results[7], "id-reused")
    assert [result.status for result in results].index("duplicate") == 3
    assert Counter(result.status for result in results) == {"accepted": 28, "duplicate": 1, "rejected": 1}
    threads, sent = {result.thread for result in results if result.thread}, [key for _, key, _ in door.sent()]
    assert (len(threads), len(sent), threads <= set(sent)) == (29, 30, True)


def test_of_two_events_with_one_id_in_a_batch_the_one_that_another_request_stored_is_no_stranger(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    stored = event(sender, referral(recipient))
    other = event(sender, referral(recipient, need="N03"), id=stored["id"])
    before = [stored]

    def decide(_sending: object) -> dict[str, Any]:
        if before:
            post(door.context, sender, [before.pop()])
        return consent.permit("summary")

    consent.decide = decide
    results = post(door.context, sender, [other, stored, event(sender, capacity())])
    assert [result.status for result in results] == ["rejected", "duplicate", "accepted"]
    assert results[1].thread == door.kept()[stored["id"]].thread
    assert len(door.sent()) == 2


def test_nothing_of_a_batch_is_kept_when_consent_cannot_be_asked(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.raw = lambda _sendings: (500, b"{}")
    with pytest.raises(Problem) as caught:
        post(door.context, sender, [event(sender, capacity()), event(sender, referral(recipient))])
    assert caught.value.status == 503
    assert (door.kept(), door.sent()) == ({}, [])


def test_nothing_of_a_batch_is_kept_when_the_outbox_cannot_be_written(
    door: FrontDoor, agencies: tuple[str, str]
) -> None:
    sender, _ = agencies
    with door.context.database.transaction() as connection:
        connection.exec_driver_sql("ALTER TABLE outbox RENAME TO outbox_gone")
    with pytest.raises(Exception, match="outbox"):
        post(door.context, sender, [event(sender, capacity()) for _ in range(3)])
    assert door.kept() == {}


def test_a_time_is_taken_as_given_and_otherwise_is_when_the_event_came(
    door: FrontDoor, agencies: tuple[str, str], clock: StillClock
) -> None:
    sender, _ = agencies
    given = (clock.now() - timedelta(days=2)).isoformat()
    post(door.context, sender, [event(sender, capacity(), time=given), event(sender, capacity())])
    with door.context.database.reading() as connection:
        rows = door.context.outbox.oldest(connection, 0, 100)
    times = [row.headers for row in rows if row.type == "capacity.declared.v1"]
    assert given in times[0]
    assert clock.now().isoformat() in times[1]


def test_what_was_posted_cannot_be_guessed_from_what_is_kept_of_it(
    door: FrontDoor, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary")
    document = event(sender, referral(recipient))
    one(door, sender, document)
    kept = bytes(door.kept()[document["id"]].digest)

    guess = post(replace(door.context, digest_key=bytes(32)), sender, [document])[0]
    assert guess.reason == "id-reused"  # without the key the same document has another digest
    assert bytes(door.kept()[document["id"]].digest) == kept


def test_a_rejected_single_event_is_a_problem_of_the_whole_request() -> None:
    for reason, code in (("invalid", 422), ("id-reused", 409)):
        with pytest.raises(Problem) as caught:
            raise_if_rejected(Result("e1", "rejected", reason=reason))
        assert caught.value.status == code
    for status in ("accepted", "withheld", "duplicate"):
        assert raise_if_rejected(Result("e1", status)).status == status
