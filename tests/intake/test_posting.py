"""Posting events, on SQLite and PostgreSQL: decided anew each time, sealed or withheld, stored once, all or nothing."""

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
from services.common.part_texts import digest
from services.intake import models
from services.intake.domain import Result
from services.intake.handlers import find_result
from services.intake.posting import post, raise_if_rejected
from tests.support.clocks import NOON, StillClock
from tests.support.hubs import eventually
from tests.support.running_intake import (
    NOTHING,
    Decider,
    RunningIntake,
    capacity,
    event,
    referral,
    running_intake,
)

THREADS = 8
NEED = {"type": "need.recorded.v1", "subject": "ppid-of-sample-aspen"}
NEED_DATA = {"need": "N02", "stage": "crisis", "region": "toronto"}
PSEUDONYM = "s-" + "a" * 26


@pytest.fixture
def agencies(running: RunningIntake) -> tuple[str, str]:
    return running.agency(), running.agency("Sample Shelter", "housing")


def one(running: RunningIntake, agency: str, document: object) -> Result:
    [result] = post(running.context, agency, [document])
    return result


def at_once(running: RunningIntake, agency: str, batches: list[list[dict[str, Any]]]) -> list[list[Result]]:
    """Post each batch in a thread of its own; all start together."""
    ready = threading.Barrier(len(batches))

    def run(batch: list[dict[str, Any]]) -> list[Result]:
        ready.wait(20)
        return post(running.context, agency, batch)

    with ThreadPoolExecutor(len(batches)) as pool:
        return list(pool.map(run, batches))


def test_only_permitted_parts_are_sealed_and_kept(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary", "health")
    document = event(sender, referral(recipient))

    result = one(running, sender, document)

    assert result.status == "accepted"
    assert result.parts == {"summary": "sealed", "housing": "withheld"}
    [(kind, key, data)] = running.sent()
    assert (kind, key) == ("referral.sealed.v1", result.thread)
    assert data["categories"] == ["summary"]
    assert consent.open(data["envelope"]) == {"summary": document["data"]["parts"]["summary"]}
    assert contracts.faults(kind, data) == []


def test_envelope_is_bound_to_recipient_grant_epoch_and_referral(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary", epoch=41)
    result = one(running, sender, event(sender, referral(recipient)))
    [(_, _, data)] = running.sent()
    header = read(data["envelope"]).header
    assert (header.recipient, header.grant, header.epoch, header.id) == (recipient, consent.grant, 41, result.thread)
    assert (data["grant"], data["epoch"], data["from"], data["to"]) == (consent.grant, 41, sender, recipient)


def test_ppid_and_clear_parts_stay_out_of_the_outbox(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary", "housing")
    one(running, sender, event(sender, referral(recipient)))
    with running.context.database.reading() as connection:
        tables = ("outbox", "posted_event")
        rows = [row for name in tables for row in connection.exec_driver_sql(f"SELECT * FROM {name}")]  # noqa: S608
    everything = repr([[bytes(cell) if isinstance(cell, memoryview) else cell for cell in row] for row in rows])
    for word in ("ppid-of-sample-aspen", "Aspen", "quiet", "A room of her own"):
        assert word not in everything


def test_consent_is_asked_for_exactly_what_would_be_sealed(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    one(running, sender, event(sender, referral(recipient)))
    [[asked]] = consent.asked
    assert asked == {
        "agency": sender,
        "ppid": "ppid-of-sample-aspen",
        "to": recipient,
        "purpose": "referral",
        "categories": ["housing", "summary"],
        "texts": {category: digest(category, part) for category, part in referral(recipient)["data"]["parts"].items()},
    }


def test_consent_is_asked_once_per_batch_and_only_about_people(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary")
    post(running.context, sender, [event(sender, capacity()) for _ in range(3)])
    assert consent.asked == []
    post(running.context, sender, [event(sender, referral(recipient)) for _ in range(3)] + [event(sender, capacity())])
    assert [len(asked) for asked in consent.asked] == [3]


def test_withheld_event_is_not_kept_and_may_be_posted_again(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    document = event(sender, referral(recipient))
    consent.decide = lambda _sending: NOTHING
    refused = one(running, sender, document)
    assert (refused.status, refused.reason) == ("withheld", "no-consent")
    assert set(refused.parts.values()) == {"withheld"}
    assert (running.kept(), running.sent()) == ({}, [])

    consent.decide = lambda _sending: consent.permit("summary")
    assert one(running, sender, document).status == "accepted"


def test_a_grant_for_other_categories_only_withholds_the_event(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("legal")
    assert one(running, sender, event(sender, referral(recipient))).status == "withheld"
    assert (running.kept(), running.sent()) == ({}, [])


def test_a_decision_is_asked_for_anew_each_time(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    for permitted, status in ((True, "accepted"), (False, "withheld"), (True, "accepted")):
        consent.decide = lambda _sending, yes=permitted: consent.permit("summary") if yes else NOTHING  # type: ignore[misc]
        assert one(running, sender, event(sender, referral(recipient))).status == status
    assert len(consent.asked) == 3


def test_subject_nobody_may_speak_for_is_withheld(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: NOTHING
    result = one(running, sender, event(sender, referral(recipient)))
    assert (result.status, result.reason, result.faults) == ("withheld", "no-consent", ())
    assert (running.kept(), running.sent()) == ({}, [])


@pytest.mark.parametrize("ppid", ["\x00", "two words", "é", "x" * 65, ""])
def test_malformed_ppid_is_refused_before_consent_is_asked(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str], ppid: str
) -> None:
    sender, recipient = agencies
    result = one(running, sender, event(sender, referral(recipient, ppid)))
    assert (result.status, [fault.member for fault in result.faults]) == ("rejected", ["/subject"])
    assert consent.asked == []


def test_a_need_is_counted_only_for_who_agreed_to_be_counted(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, _ = agencies
    consent.decide = lambda _sending: NOTHING
    uncounted = one(running, sender, event(sender, {**NEED, "data": NEED_DATA}))
    assert (uncounted.status, uncounted.reason) == ("withheld", "no-consent")
    assert (running.kept(), running.sent()) == ({}, [])

    consent.decide = lambda _sending: NOTHING | {"statistics": PSEUDONYM}
    assert one(running, sender, event(sender, {**NEED, "data": NEED_DATA})).status == "accepted"
    [(kind, _, data)] = running.sent()
    assert kind == "need.counted.v1"
    assert data == NEED_DATA | {"agency": sender, "statistics": PSEUDONYM}
    assert consent.asked[-1][0]["categories"] == []


@pytest.mark.parametrize(
    ("given", "counted"),
    [("2026-04-01T00:00:00+00:00", None), ("2026-03-31T23:59:59+00:00", NOON), ("0001-01-01T00:00:00+00:00", NOON)],
)
def test_need_is_counted_in_the_year_of_its_pseudonym(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str], given: str, counted: datetime | None
) -> None:
    sender, _ = agencies
    consent.decide = lambda _sending: NOTHING | {"statistics": PSEUDONYM}
    assert one(running, sender, event(sender, {**NEED, "data": NEED_DATA}, time=given)).status == "accepted"
    with running.context.database.reading() as connection:
        [headers] = [
            row.headers for row in running.context.outbox.oldest(connection, 0, 9) if row.type == "need.counted.v1"
        ]
    assert json.loads(headers)["ce_time"] == (counted.isoformat() if counted else given)


def test_referral_has_the_day_on_which_it_was_taken(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary", statistics=PSEUDONYM)
    one(running, sender, event(sender, referral(recipient), time="2026-03-31T23:59:59+00:00"))
    with running.context.database.reading() as connection:
        rows = running.context.outbox.oldest(connection, 0, 9)
        [headers] = [row.headers for row in rows if row.type == "referral.sealed.v1"]
    assert json.loads(headers)["ce_time"] == NOON.isoformat()


@pytest.mark.parametrize("statistics", [None, PSEUDONYM])
def test_a_referral_is_counted_only_for_who_agreed_to_be_counted(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str], statistics: str | None
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary", statistics=statistics)
    one(running, sender, event(sender, referral(recipient)))
    [(_, _, data)] = running.sent()
    assert data.get("statistics") == statistics


def test_an_event_about_nobody_goes_on_as_it_was_posted(running: RunningIntake, agencies: tuple[str, str]) -> None:
    sender, _ = agencies
    document = event(sender, capacity())
    assert one(running, sender, document).status == "accepted"
    assert running.sent() == [("capacity.declared.v1", sender, document["data"])]


def test_an_answer_to_a_referral_is_ordered_by_that_referral(running: RunningIntake, agencies: tuple[str, str]) -> None:
    sender, _ = agencies
    thread = "0192f0c1-5b7e-7a30-8c11-2f64d1a0b9e3"
    result = one(running, sender, event(sender, {"type": "referral.accepted.v1", "data": {"referral": thread}}))
    assert result.thread == thread
    [(_, key, _)] = running.sent()
    assert key == thread


def test_an_offer_begins_a_thread_of_its_own(running: RunningIntake, agencies: tuple[str, str]) -> None:
    sender, _ = agencies
    data = {"need": "N02", "stage": "crisis", "region": "toronto", "urgency": "24h"}
    first, second = (one(running, sender, event(sender, {"type": "offer.opened.v1", "data": data})) for _ in range(2))
    assert first.thread != second.thread
    assert [key for _, key, _ in running.sent()] == [first.thread, second.thread]


def test_referral_of_an_offer_names_it_and_has_its_own_thread(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary")
    offer = "0192f0c1-5b7e-7a30-8c11-2f64d1a0b9e3"
    document = event(sender, referral(recipient))
    document["data"]["offer"] = offer
    result = one(running, sender, document)
    [(event_type, key, data)] = running.sent()
    assert (event_type, key, data["offer"]) == ("referral.sealed.v1", result.thread, offer)
    assert result.thread != offer


def test_claim_of_a_past_date_counts_from_when_it_came(running: RunningIntake, agencies: tuple[str, str]) -> None:
    _, claimer = agencies
    data = {"offer": "0192f0c1-5b7e-7a30-8c11-2f64d1a0b9e3"}
    document = event(claimer, {"type": "offer.claimed.v1", "data": data})
    one(running, claimer, {**document, "time": "2020-01-01T00:00:00Z"})
    with running.context.database.reading() as connection:
        rows = running.context.outbox.oldest(connection, 0, 10)
    [row] = [row for row in rows if row.type == "offer.claimed.v1"]
    assert datetime.fromisoformat(json.loads(row.headers)["ce_time"]) == running.context.clock.now()


def test_repeated_event_is_a_duplicate_with_the_first_result(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary")
    document = event(sender, referral(recipient))
    first = one(running, sender, document)
    consent.decide = lambda _sending: NOTHING  # whatever became of her consent meanwhile
    again = one(running, sender, dict(reversed(document.items())))
    assert (again.status, again.thread, again.parts) == ("duplicate", first.thread, first.parts)
    assert len(consent.asked) == 1
    assert len(running.sent()) == 1


def test_reused_id_with_other_content_is_refused(running: RunningIntake, agencies: tuple[str, str]) -> None:
    sender, _ = agencies
    document = event(sender, capacity())
    one(running, sender, document)
    other = one(running, sender, document | capacity(available=0))
    assert (other.status, other.reason) == ("rejected", "id-reused")
    assert [fault.member for fault in other.faults] == ["/id"]
    assert running.sent() == [("capacity.declared.v1", sender, document["data"])]


def test_two_agencies_may_use_the_same_id(running: RunningIntake, agencies: tuple[str, str]) -> None:
    results = [one(running, agency, event(agency, capacity(), id="same")) for agency in agencies]
    assert [result.status for result in results] == ["accepted", "accepted"]
    assert [key for _, key, _ in running.sent()] == list(agencies)


def test_one_bad_event_in_a_batch_rejects_that_event_only(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda sending: NOTHING if sending["ppid"] == "nobody" else consent.permit("summary")
    good = [event(sender, capacity()), event(sender, referral(recipient))]
    bad: list[Any] = [
        event(sender, capacity(region="atlantis")),
        event("agency-zzzzzzzzzz", capacity()),
        event(sender, referral(recipient, "nobody")),
        "not an event",
    ]
    results = post(running.context, sender, [bad[0], good[0], bad[1], bad[2], good[1], bad[3]])
    statuses = [result.status for result in results]
    # Who is not linked to her is answered as if she had not consented.
    assert statuses == ["rejected", "accepted", "rejected", "withheld", "accepted", "rejected"]
    assert sorted(running.kept()) == sorted(document["id"] for document in good)
    assert [kind for kind, _, _ in running.sent()] == ["capacity.declared.v1", "referral.sealed.v1"]


def test_results_and_outbox_keep_the_order_of_the_batch(running: RunningIntake, agencies: tuple[str, str]) -> None:
    sender, _ = agencies
    documents = [event(sender, capacity(available=number % 12), id=f"e{99 - number}") for number in range(50)]
    results = post(running.context, sender, documents)
    assert [result.id for result in results] == [document["id"] for document in documents]
    assert [data for _, _, data in running.sent()] == [document["data"] for document in documents]


def test_event_twice_in_one_batch_is_taken_once(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary")
    document = event(sender, referral(recipient))
    first, second = post(running.context, sender, [document, document])
    assert (first.status, second.status) == ("accepted", "duplicate")
    assert (second.thread, second.parts) == (first.thread, first.parts)
    assert len(running.sent()) == 1


def test_a_withheld_event_twice_in_one_batch_is_withheld_twice(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: NOTHING
    document = event(sender, referral(recipient))
    results = post(running.context, sender, [document, document])
    assert [result.status for result in results] == ["withheld", "withheld"]
    assert (running.kept(), running.sent()) == ({}, [])


def test_one_id_for_two_events_in_one_batch_takes_the_first_only(
    running: RunningIntake, agencies: tuple[str, str]
) -> None:
    sender, _ = agencies
    first = event(sender, capacity())
    results = post(running.context, sender, [first, first | capacity(available=0), first])
    assert [result.status for result in results] == ["accepted", "rejected", "duplicate"]
    assert results[1].reason == "id-reused"
    assert [data for _, _, data in running.sent()] == [first["data"]]


def test_event_posted_concurrently_is_accepted_once(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    undecided = threading.Barrier(THREADS)

    def decide(_sending: object) -> dict[str, Any]:
        undecided.wait(20)  # until every request has seen that the event is new
        return consent.permit("summary")

    consent.decide = decide
    document = event(sender, referral(recipient))
    results = [result for [result] in at_once(running, sender, [[document]] * THREADS)]
    assert Counter(result.status for result in results) == {"accepted": 1, "duplicate": THREADS - 1}
    assert len({result.thread for result in results}) == 1
    assert all(result.parts == {"summary": "sealed", "housing": "withheld"} for result in results)
    [(_, key, _)] = running.sent()
    assert key == results[0].thread


def test_second_of_two_concurrent_events_with_one_id_is_refused(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    undecided = threading.Barrier(2)

    def decide(_sending: object) -> dict[str, Any]:
        undecided.wait(20)
        return consent.permit("summary")

    consent.decide = decide
    batches = [[event(sender, referral(recipient, need=need), id="same")] for need in ("N02", "N03")]
    results = [result for [result] in at_once(running, sender, batches)]
    assert sorted(result.status for result in results) == ["accepted", "rejected"]
    assert len(running.sent()) == 1


def test_batches_of_the_same_events_at_once_keep_each_event_once(
    running: RunningIntake, agencies: tuple[str, str]
) -> None:
    sender, _ = agencies
    documents = [event(sender, capacity()) for _ in range(200)]
    results = at_once(running, sender, [documents, documents[::-1], documents[:100], documents[100:]])
    assert Counter(result.status for batch in results for result in batch) == {"accepted": 200, "duplicate": 400}
    assert sorted(running.kept()) == sorted(document["id"] for document in documents)
    assert len(running.sent()) == 200


@pytest.mark.backend("postgresql")
@pytest.mark.parametrize("events", [9, 90])
def test_batches_that_cross_each_other_do_not_wait_in_a_circle(
    postgres_server: PostgresServer, tmp_path: Path, events: int
) -> None:
    url = postgres_server.empty_database().replace("postgresql://", "postgresql+psycopg://")
    with running_intake(tmp_path, "http://127.0.0.1:1", StillClock(), url) as running:
        sender = running.agency()
        documents = [event(sender, capacity(), id=f"e{number:03d}") for number in range(events)]
        engine = running.context.database.engine
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
            waiting = [pool.submit(post, running.context, sender, batch) for batch in (documents, documents[::-1])]
            blocked = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            eventually(lambda: looker.scalar(blocked) == 2)
            holder.rollback()
            results = [result.status for batch in waiting for result in batch.result(20)]
        assert Counter(results) == {"accepted": events, "duplicate": events}
        assert len(running.sent()) == events


def test_event_stored_by_another_request_leaves_the_batch_intact(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    batch = [event(sender, referral(recipient)) for _ in range(30)]
    other = event(sender, referral(recipient, need="N03"), id=batch[7]["id"])
    before = [[batch[3]], [other]]

    def decide(_sending: object) -> dict[str, Any]:
        if before:  # the batch was just seen to be new
            post(running.context, sender, before.pop())
        return consent.permit("summary")

    consent.decide = decide
    results = post(running.context, sender, batch)
    [refused] = [result for result in results if result.status == "rejected"]
    assert (refused, refused.reason) == (results[7], "id-reused")
    assert [result.status for result in results].index("duplicate") == 3
    assert Counter(result.status for result in results) == {"accepted": 28, "duplicate": 1, "rejected": 1}
    threads, sent = {result.thread for result in results if result.thread}, [key for _, key, _ in running.sent()]
    assert (len(threads), len(sent), threads <= set(sent)) == (29, 30, True)


def test_stored_event_wins_over_another_with_its_id_in_a_batch(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    stored = event(sender, referral(recipient))
    other = event(sender, referral(recipient, need="N03"), id=stored["id"])
    before = [stored]

    def decide(_sending: object) -> dict[str, Any]:
        if before:
            post(running.context, sender, [before.pop()])
        return consent.permit("summary")

    consent.decide = decide
    results = post(running.context, sender, [other, stored, event(sender, capacity())])
    assert [result.status for result in results] == ["rejected", "duplicate", "accepted"]
    assert results[1].thread == running.kept()[stored["id"]].thread
    assert len(running.sent()) == 2


def test_nothing_of_a_batch_is_kept_when_consent_cannot_be_asked(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.raw = lambda _sendings: (500, b"{}")
    with pytest.raises(Problem) as caught:
        post(running.context, sender, [event(sender, capacity()), event(sender, referral(recipient))])
    assert caught.value.status == 503
    assert (running.kept(), running.sent()) == ({}, [])


def test_batch_is_not_kept_when_the_outbox_cannot_be_written(running: RunningIntake, agencies: tuple[str, str]) -> None:
    sender, _ = agencies
    with running.context.database.transaction() as connection:
        connection.exec_driver_sql("ALTER TABLE outbox RENAME TO outbox_gone")
    with pytest.raises(Exception, match="outbox"):
        post(running.context, sender, [event(sender, capacity()) for _ in range(3)])
    assert running.kept() == {}


def test_time_defaults_to_the_arrival_of_the_event(
    running: RunningIntake, agencies: tuple[str, str], clock: StillClock
) -> None:
    sender, _ = agencies
    given = (clock.now() - timedelta(days=2)).isoformat()
    post(running.context, sender, [event(sender, capacity(), time=given), event(sender, capacity())])
    with running.context.database.reading() as connection:
        rows = running.context.outbox.oldest(connection, 0, 100)
    times = [row.headers for row in rows if row.type == "capacity.declared.v1"]
    assert given in times[0]
    assert clock.now().isoformat() in times[1]


def test_digest_does_not_reveal_what_was_posted(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary")
    document = event(sender, referral(recipient))
    one(running, sender, document)
    kept = bytes(running.kept()[document["id"]].digest)

    guess = post(replace(running.context, digest_key=bytes(32)), sender, [document])[0]
    assert guess.reason == "id-reused"  # without the key the same document has another digest
    assert bytes(running.kept()[document["id"]].digest) == kept


def test_rejected_single_event_fails_the_whole_request() -> None:
    for reason, code in (("invalid", 422), ("id-reused", 409)):
        with pytest.raises(Problem) as caught:
            raise_if_rejected(Result("e1", "rejected", reason=reason))
        assert caught.value.status == code
    for status in ("accepted", "withheld", "duplicate"):
        assert raise_if_rejected(Result("e1", status)).status == status


def test_part_that_differs_is_withheld_with_the_reason(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    """Also when the result is asked for again, and when nothing at all is left to seal."""
    sender, recipient = agencies
    consent.decide = lambda _sending: consent.permit("summary") | {"not_as_approved": ["housing"]}
    posted = event(sender, referral(recipient))
    first, again = (post(running.context, sender, [posted])[0] for _ in range(2))
    assert first.as_json()["reasons"] == again.as_json()["reasons"] == {"housing": "not_as_approved"}
    assert first.parts == {"housing": "withheld", "summary": "sealed"}
    assert find_result(running.context, sender, posted["id"]).reasons == first.reasons
    consent.decide = lambda _sending: NOTHING | {"not_as_approved": ["housing", "summary"]}
    [none] = post(running.context, sender, [event(sender, referral(recipient))])
    assert (none.status, none.reason) == ("withheld", "not_as_approved")


def test_text_that_consent_did_not_name_is_not_sealed(
    running: RunningIntake, consent: Decider, agencies: tuple[str, str]
) -> None:
    """Only the text with the digest of the answer is sealed; where she wrote herself, an empty part is."""
    sender, recipient = agencies
    allowed = consent.permit("summary", "housing")
    allowed["seal"] |= {"texts": {"housing": digest("housing", {"needs": "Other."})}, "hers": ["summary"]}
    consent.decide = lambda _sending: allowed
    [result] = post(running.context, sender, [event(sender, referral(recipient))])
    assert result.parts == {"housing": "withheld", "summary": "sealed"}
    [(_, _, data)] = running.sent()
    assert (data["categories"], consent.open(data["envelope"])) == (["summary"], {"summary": {}})
