"""Webhooks: set, signed, sent thin, tried again over three days, switched off, replayed; receivers may be hostile."""

import json
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from hmac import digest
from itertools import count
from pathlib import Path
from threading import Event
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.common.errors import Problem
from services.common.http.outgoing import OutgoingClient
from services.referral.context import Context
from services.referral.handlers import deliveries, feed
from services.referral.handlers.deliveries import DISABLED_AFTER, PAUSES, send_due
from services.referral.handlers.webhooks import (
    View,
    Webhooks,
    Wish,
    read_webhook,
    remove_webhook,
    replay,
    send_test,
    set_webhook,
    switched_off,
)
from services.referral.models import roster
from services.referral.webhook_signing import SecretStore
from tests.support.clocks import NOON, StillClock
from tests.support.sorting import RECIPIENT, SENDER, made, sealed, take
from tests.support.webhook_receiver import OK, Receiver, receiver, status


@pytest.fixture
def webhooks(tmp_path: Path) -> Webhooks:
    return Webhooks(OutgoingClient(to_loopback=True, seconds=2), SecretStore(tmp_path / "webhook.key"))


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture(autouse=True)
def known(context: Context) -> None:
    for agency in (SENDER, RECIPIENT):
        standing(context, agency, "active", 1)


def standing(context: Context, agency: str, to: str, version: int) -> None:
    data = {"agency": agency, "name": agency, "sector": "ngo", "standing": to, "version": version}
    with context.database.transaction() as connection:
        roster.take(connection, made("agency.changed.v1", "intake", data, agency))


def put(context: Context, webhooks: Webhooks, url: str, signing: str = "hmac", *, rotate: bool = False) -> View:
    return set_webhook(context, webhooks, RECIPIENT, Wish(url, signing, rotate))


def tell(context: Context, *subjects: str) -> None:
    with context.database.transaction() as connection:
        for subject in subjects:
            feed.tell(context, connection, [RECIPIENT], feed.OVERDUE, subject, "requested")


def numbers(there: Receiver) -> list[int]:
    return [json.loads(body)["data"]["number"] for _, body in there.got]


def state(context: Context, webhooks: Webhooks) -> tuple[list[tuple[int, int, str]], int]:
    """Return number, tries and last answer of each failure, and the last number that was tried."""
    view = read_webhook(context, webhooks, RECIPIENT)
    return [(row.number, row.tries, row.answer) for row in view.failures], view.row.sent


def test_new_entry_is_sent_thin_and_signed_with_hmac(context: Context, webhooks: Webhooks, there: Receiver) -> None:
    told = put(context, webhooks, there.url).told
    event = sealed()
    take(context, event)
    assert send_due(context, webhooks) == 1
    assert send_due(context, webhooks) == 0
    [(headers, body)] = there.got
    data = {"id": event.key, "number": 1}
    assert json.loads(body) == {"type": "referral.updated.v1", "timestamp": "2026-06-01T12:00:00Z", "data": data}
    assert told is not None
    key = b64decode(told.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{int(NOON.timestamp())}.{body}".encode()
    assert b64decode(headers["webhook-signature"].removeprefix("v1,")) == digest(key, signed, sha256)
    assert "." not in headers["webhook-id"]
    assert not {"authorization", "cookie"} & headers.keys()


def test_ed25519_signature_is_verified_with_the_public_key(
    context: Context, webhooks: Webhooks, there: Receiver
) -> None:
    put(context, webhooks, there.url, "ed25519")
    tell(context, "any")
    send_due(context, webhooks)
    told = read_webhook(context, webhooks, RECIPIENT).told
    [(headers, body)] = there.got
    assert told is not None
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    key = Ed25519PublicKey.from_public_bytes(b64decode(told.removeprefix("whpk_")))
    key.verify(b64decode(headers["webhook-signature"].removeprefix("v1a,")), signed)


def test_shared_secret_is_shown_once_and_rests_encrypted(context: Context, webhooks: Webhooks, there: Receiver) -> None:
    view = put(context, webhooks, there.url)
    assert view.told is not None
    assert b64decode(view.told.removeprefix("whsec_")) not in view.row.secret
    assert read_webhook(context, webhooks, RECIPIENT).told is None
    assert put(context, webhooks, there.url).told is None, "the same again shows nothing and changes nothing"
    assert read_webhook(context, webhooks, RECIPIENT).row.secret == view.row.secret


def test_two_secrets_sign_during_a_day_after_rotation(
    context: Context, webhooks: Webhooks, there: Receiver, clock: StillClock
) -> None:
    put(context, webhooks, there.url)
    put(context, webhooks, there.url, "ed25519")
    for wait, expected in ((timedelta(0), ["v1a", "v1"]), (timedelta(days=1), ["v1a"])):
        clock.move(wait)
        tell(context, "any")
        send_due(context, webhooks)
        signatures = there.got[-1][0]["webhook-signature"].split(" ")
        assert [each.partition(",")[0] for each in signatures] == expected
    assert put(context, webhooks, there.url, "ed25519", rotate=True).row.previous_until == clock.now() + timedelta(
        days=1
    )


@pytest.mark.parametrize("answer", [301, 302, 307, 308, 400, 404, 422, 500, 502, 503, 429])
def test_status_other_than_success_is_a_failure(
    context: Context, webhooks: Webhooks, there: Receiver, answer: int
) -> None:
    """A redirect is not followed."""
    put(context, webhooks, there.url)
    tell(context, "any")
    with receiver() as elsewhere:
        there.then = status(answer, f"location: {elsewhere.url}")
        assert send_due(context, webhooks) == 0
        assert elsewhere.got == []
    assert state(context, webhooks) == ([(1, 1, str(answer))], 1)


@pytest.mark.parametrize("answer", [200, 201, 202, 204])
def test_any_2xx_is_a_success(context: Context, webhooks: Webhooks, there: Receiver, answer: int) -> None:
    put(context, webhooks, there.url)
    tell(context, "any")
    there.then = status(answer)
    assert send_due(context, webhooks) == 1
    assert state(context, webhooks) == ([], 1)


@pytest.mark.parametrize(
    ("then", "endless"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n", b" " * 1000),
        (b"HTTP/1.1 200 OK\r\n\r\n", b" " * 1000),
        (b"HTTP/1.1 200 OK\r\nx: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b""),
        (b"not HTTP at all\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort", b""),
    ],
    ids=["long body", "endless body", "endless head", "endless heads", "nothing", "no http", "cut short"],
)
def test_hostile_answer_is_a_failure_in_bounded_time(
    context: Context, webhooks: Webhooks, there: Receiver, then: bytes, endless: bytes
) -> None:
    put(context, webhooks, there.url)
    tell(context, "any")
    there.then, there.endless = then, endless
    assert send_due(context, webhooks) == 0
    there.endless = b""
    assert state(context, webhooks) == ([(1, 1, "unreachable")], 1)


def test_name_that_is_not_found_is_tried_again(
    context: Context, webhooks: Webhooks, clock: StillClock, there: Receiver
) -> None:
    found: list[str] | None = None

    def resolve(_host: str, _port: int) -> list[str]:
        if found is None:
            raise OSError("no such name")
        return found

    put(context, webhooks, there.url)
    tell(context, "any")
    lost = replace(webhooks, client=replace(webhooks.client, resolve=resolve))
    assert send_due(context, lost) == 0
    assert state(context, webhooks)[0] == [(1, 1, "unreachable")]
    clock.move(PAUSES[0])
    found = ["127.0.0.1"]
    assert send_due(context, lost) == 1
    assert state(context, webhooks) == ([], 1)


@pytest.mark.parametrize("inner", ["10.0.0.7", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.7"])
def test_name_that_leads_inside_is_refused_when_set_and_sent(
    context: Context, webhooks: Webhooks, there: Receiver, inner: str
) -> None:
    """The name may lead outside when it is set, and inside later; nothing is sent then."""
    found = ["93.184.215.14"]
    strict = replace(webhooks, client=OutgoingClient(resolve=lambda _host, _port: found))
    put(context, strict, "https://agency.example/hook")
    found[:] = [inner]
    tell(context, "any")
    assert send_due(context, strict) == 0
    assert state(context, webhooks)[0] == [(1, 1, "unreachable")]
    with pytest.raises(Problem) as caught:
        put(context, strict, "https://agency.example/other")
    assert (caught.value.status, caught.value.faults[0].member) == (400, "/url")
    assert there.got == []


@pytest.mark.parametrize(
    "url",
    [
        "http://agency.example/hook",
        "https://127.0.0.1/",
        "https://user@agency.example/",
        "https://2130706433/",
        "ftp://a/",
    ],
)
def test_url_that_may_not_be_called_is_refused_when_set(context: Context, webhooks: Webhooks, url: str) -> None:
    strict = replace(webhooks, client=OutgoingClient(resolve=lambda _host, _port: ["93.184.215.14"]))
    with pytest.raises(Problem) as caught:
        put(context, strict, url)
    assert (caught.value.status, caught.value.faults[0].member) == (400, "/url")
    with pytest.raises(Problem, match="404"):
        read_webhook(context, webhooks, RECIPIENT)


def test_unknown_and_inner_names_get_the_same_answer(context: Context, webhooks: Webhooks) -> None:
    """Otherwise an agency could find out which names exist in the hub's own network."""

    def resolve(host: str, _port: int) -> list[str]:
        if host == "unknown.example":
            raise OSError("no such name")
        return ["10.0.0.7"]

    strict, told = replace(webhooks, client=OutgoingClient(resolve=resolve)), []
    for name in ("unknown.example", "database.example"):
        with pytest.raises(Problem) as caught:
            put(context, strict, f"https://{name}/")
        told.append(caught.value.as_json())
    assert told[0] == told[1]


def test_failed_webhook_is_tried_ten_times_over_three_days(
    context: Context, webhooks: Webhooks, there: Receiver, clock: StillClock
) -> None:
    put(context, webhooks, there.url)
    there.then = status(500)
    tell(context, "any")
    send_due(context, webhooks)
    for tries, pause in enumerate(PAUSES, 1):
        assert state(context, webhooks)[0] == [(1, tries, "500")]
        clock.move(pause - timedelta(seconds=1))
        send_due(context, webhooks)
        assert len(there.got) == tries, "too soon"
        clock.move(timedelta(seconds=1))
        send_due(context, webhooks)
    assert clock.now() - NOON > timedelta(days=3)
    assert state(context, webhooks)[0] == [(1, 10, "500")]
    assert read_webhook(context, webhooks, RECIPIENT).failures[0].next_try is None
    clock.move(timedelta(days=1))
    send_due(context, webhooks)
    assert len(there.got) == 10
    assert len({headers["webhook-id"] for headers, _ in there.got}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in there.got}) == 10


def test_refusal_of_one_webhook_does_not_hold_up_the_next(
    context: Context, webhooks: Webhooks, there: Receiver
) -> None:
    put(context, webhooks, there.url)
    there.next = [status(422), OK]
    tell(context, "one", "two")
    assert send_due(context, webhooks) == 1
    assert state(context, webhooks) == ([(1, 1, "422")], 2)


def test_receiver_that_is_down_gets_one_try_and_a_rest(
    context: Context, webhooks: Webhooks, there: Receiver, clock: StillClock
) -> None:
    put(context, webhooks, there.url)
    there.then = status(500)
    tell(context, "one", "two")
    send_due(context, webhooks)
    send_due(context, webhooks)
    assert numbers(there) == [1]
    there.then = OK
    clock.move(timedelta(seconds=5))
    assert send_due(context, webhooks) == 2
    assert state(context, webhooks) == ([], 2)


@pytest.mark.parametrize("answer", [429, 503])
@pytest.mark.parametrize("told", ["7200", "Mon, 01 Jun 2026 14:00:00 GMT"])
def test_retry_after_is_honoured(
    context: Context, webhooks: Webhooks, there: Receiver, clock: StillClock, answer: int, told: str
) -> None:
    put(context, webhooks, there.url)
    there.next = [status(answer, f"retry-after: {told}")]
    tell(context, "any")
    send_due(context, webhooks)
    clock.move(timedelta(seconds=7199))
    assert send_due(context, webhooks) == 0
    clock.move(timedelta(seconds=1))
    assert send_due(context, webhooks) == 1


@pytest.mark.parametrize(
    "told", ["99999999999999999999", "-5", "soon", "1e9", "Mon, 01 Jun 9999 14:00:00 GMT", "\u00b2"]
)
def test_strange_retry_after_is_bounded_by_a_day(
    context: Context, webhooks: Webhooks, there: Receiver, clock: StillClock, told: str
) -> None:
    put(context, webhooks, there.url)
    there.next = [status(503, f"retry-after: {told}")]
    tell(context, "any")
    send_due(context, webhooks)
    clock.move(timedelta(days=1))
    assert send_due(context, webhooks) == 1


def test_410_switches_the_webhook_off_at_once(context: Context, webhooks: Webhooks, there: Receiver) -> None:
    put(context, webhooks, there.url)
    there.then = status(410)
    tell(context, "one", "two")
    send_due(context, webhooks)
    tell(context, "three")
    send_due(context, webhooks)
    assert numbers(there) == [1]
    row = read_webhook(context, webhooks, RECIPIENT).row
    assert (row.disabled_because, row.disabled_at) == ("gone", NOON)
    assert switched_off(context.database) == [RECIPIENT]


def test_five_days_of_failure_switch_the_webhook_off(
    context: Context, webhooks: Webhooks, there: Receiver, clock: StillClock, caplog: pytest.LogCaptureFixture
) -> None:
    put(context, webhooks, there.url)
    there.then = status(500)
    subject = str(uuid4())
    for _ in range(6):
        tell(context, subject)
        assert switched_off(context.database) == []
        send_due(context, webhooks)
        clock.move(timedelta(days=1))
    assert clock.now() - NOON > DISABLED_AFTER
    assert switched_off(context.database) == [RECIPIENT]
    assert [record.getMessage() for record in caplog.records] == [
        f"the webhook of {RECIPIENT} is switched off (failing)"
    ]
    with pytest.raises(Problem, match="409"):
        replay(context, RECIPIENT, 0)
    put(context, webhooks, there.url)
    there.then = OK
    assert switched_off(context.database) == []
    assert send_due(context, webhooks) >= 1


def test_one_success_in_five_days_keeps_the_webhook_on(
    context: Context, webhooks: Webhooks, there: Receiver, clock: StillClock
) -> None:
    put(context, webhooks, there.url)
    for day in range(8):
        there.then = OK if day == 3 else status(404)
        tell(context, "any")
        send_due(context, webhooks)
        clock.move(timedelta(days=1))
    assert switched_off(context.database) == []


def test_replay_sends_a_range_again_with_the_same_ids(context: Context, webhooks: Webhooks, there: Receiver) -> None:
    put(context, webhooks, there.url)
    tell(context, "one", "two", "three")
    send_due(context, webhooks)
    assert replay(context, RECIPIENT, 1) == 3
    send_due(context, webhooks)
    assert numbers(there) == [1, 2, 3, 2, 3]
    names = [headers["webhook-id"] for headers, _ in there.got]
    assert names[3:] == names[1:3]


def test_replay_from_the_future_is_refused_with_its_member(
    context: Context, webhooks: Webhooks, there: Receiver
) -> None:
    put(context, webhooks, there.url)
    with pytest.raises(Problem) as caught:
        replay(context, RECIPIENT, 1)
    assert (caught.value.status, caught.value.faults[0].member) == (400, "/after")


def test_test_goes_through_the_feed_and_only_once(context: Context, webhooks: Webhooks, there: Receiver) -> None:
    put(context, webhooks, there.url)
    assert [send_test(context, RECIPIENT), send_test(context, RECIPIENT)] == [1, 1]
    send_due(context, webhooks)
    assert [json.loads(body)["type"] for _, body in there.got] == ["webhook.test.v1"]
    assert send_test(context, RECIPIENT) == 2


def test_new_webhook_starts_at_the_end_of_the_feed(context: Context, webhooks: Webhooks, there: Receiver) -> None:
    tell(context, "before")
    put(context, webhooks, there.url)
    tell(context, "after")
    send_due(context, webhooks)
    assert numbers(there) == [2]


def test_suspended_agency_is_sent_nothing(context: Context, webhooks: Webhooks, there: Receiver) -> None:
    put(context, webhooks, there.url)
    tell(context, "any")
    standing(context, RECIPIENT, "suspended", 2)
    assert send_due(context, webhooks) == 0
    standing(context, RECIPIENT, "active", 3)
    assert send_due(context, webhooks) == 1


def test_removed_webhook_is_sent_nothing(context: Context, webhooks: Webhooks, there: Receiver) -> None:
    put(context, webhooks, there.url)
    there.then = status(500)
    tell(context, "any")
    send_due(context, webhooks)
    remove_webhook(context, RECIPIENT)
    assert send_due(context, webhooks) == 0
    with pytest.raises(Problem, match="404"):
        read_webhook(context, webhooks, RECIPIENT)


def test_receiver_that_hangs_delays_no_other(context: Context, webhooks: Webhooks, there: Receiver) -> None:
    with receiver() as slow:
        slow.then, slow.endless = b"", b"HTTP/1.1 100 Continue\r\n\r\n"
        put(context, webhooks, slow.url)
        set_webhook(context, webhooks, SENDER, Wish(there.url, "hmac"))
        take(context, sealed())
        assert send_due(context, webhooks) == 1
        slow.endless = b""
    assert len(there.got) == 1


def test_lost_key_of_secrets_switches_off_and_put_repairs(
    context: Context, webhooks: Webhooks, there: Receiver, tmp_path: Path
) -> None:
    put(context, webhooks, there.url, "ed25519")
    tell(context, "any")
    other = replace(webhooks, secrets=SecretStore(tmp_path / "other.key"))
    assert send_due(context, other) == 0
    view = read_webhook(context, other, RECIPIENT)
    assert (view.told, view.row.disabled_because) == (None, "secret")
    assert put(context, other, there.url, "ed25519").told is not None
    assert send_due(context, other) == 1


def test_agency_has_one_name_looked_up_at_once(context: Context, webhooks: Webhooks) -> None:
    """Each look-up holds a thread, as long as the agency's own name server likes."""
    began, answered = Event(), Event()

    def resolve(host: str, _port: int) -> list[str]:
        if host == "slow.example":
            began.set()
            answered.wait(20)
        return ["93.184.215.14"]

    named = replace(webhooks, client=OutgoingClient(seconds=20, resolve=resolve))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(put, context, named, "https://slow.example/")
        try:
            assert began.wait(20)
            with pytest.raises(Problem, match="503"):
                put(context, named, "https://agency.example/")
            set_webhook(context, named, SENDER, Wish("https://agency.example/", "hmac"))
        finally:
            answered.set()
        assert first.result(20).row.url == "https://slow.example/"
    assert put(context, named, "https://agency.example/").row.url == "https://agency.example/"


def test_receiver_gets_a_second_of_each_round(
    context: Context, webhooks: Webhooks, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just below the limit for one, a hundred webhooks to it would delay all others by a minute and a half."""
    put(context, webhooks, there.url)
    tell(context, "one", "two", "three")
    times = count()
    monkeypatch.setattr(deliveries, "monotonic", lambda: 0.6 * next(times))
    assert [send_due(context, webhooks) for _ in range(2)] == [2, 1]
    assert numbers(there) == [1, 2, 3]
