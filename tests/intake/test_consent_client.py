"""Asking consent with a token of intake: every answer that is incomplete, unreadable or late is a 503."""

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OKPKey

from services.common.auth.jose import load_signing_key, new_signing_key
from services.common.encoding import base64url
from services.common.errors import Problem
from services.intake import consent_client
from services.intake.consent_client import Answer, ConsentClient, Seal, Sending
from tests.support.clocks import StillClock
from tests.support.running_intake import NOTHING, Decider

SENDING = Sending("agency-aaaaaaaaaa", "ppid-of-sample-aspen", "agency-bbbbbbbbbb", "referral", ["summary"])


@contextmanager
def asking(url: str, key: OKPKey | None = None) -> Iterator[ConsentClient]:
    made = ConsentClient(url, key or load_signing_key(new_signing_key()), StillClock())
    with closing(made):
        yield made


def refused(url: str, sendings: Sequence[Sending] = (SENDING,)) -> Problem:
    with asking(url) as consent, pytest.raises(Problem) as caught:
        consent.ask(sendings)
    return caught.value


def assert_unavailable(problem: Problem) -> None:
    assert problem.status == 503
    assert int(problem.headers["Retry-After"]) > 0
    assert "Nothing was stored" in problem.title


def test_answers_come_in_the_order_of_the_questions(consent: Decider) -> None:
    permit = consent.permit("summary", "health", statistics="s-x", epoch=7)
    consent.decide = lambda sending: {"a": NOTHING, "b": NOTHING | {"statistics": "s-y"}, "c": permit}[sending["ppid"]]
    sendings = [Sending("agency-aaaaaaaaaa", ppid, None, None, []) for ppid in ("c", "a", "b")]
    with asking(consent.url) as made:
        answers = made.ask(sendings)
    key = consent.key.public_key()
    assert answers == [
        Answer(Seal(consent.grant, key, frozenset({"summary", "health"}), 7), "s-x"),
        Answer(None, None),
        Answer(None, "s-y"),
    ]


def test_nothing_is_asked_when_there_is_nothing_to_ask(consent: Decider) -> None:
    with asking(consent.url) as made:
        assert made.ask([]) == []
    assert consent.asked == []


def test_each_question_proves_that_intake_asks(consent: Decider) -> None:
    key = load_signing_key(new_signing_key())
    with asking(consent.url, key) as made:
        made.ask([SENDING])
    scheme, _, token = consent.tokens[0].partition(" ")
    signed = jwt.decode(token, key, algorithms=["Ed25519"])
    now = int(StillClock().now().timestamp())
    assert scheme == "Bearer"
    assert (signed.header["typ"], signed.header["kid"]) == ("service+jwt", key.kid)
    assert signed.claims == {"sub": "intake", "aud": "urn:fireweed:consent", "iat": now, "exp": now + 60}


def test_a_consent_service_that_does_not_listen_is_a_503() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    assert_unavailable(refused(f"http://127.0.0.1:{port}"))


def test_a_consent_service_that_hangs_up_is_a_503() -> None:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=1)) as listener:
        listener.settimeout(20)

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(1)
            connection.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        assert_unavailable(refused(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        thread.join(20)


def test_a_consent_service_that_takes_too_long_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent_client, "TIMEOUT_SECONDS", 0.2)
    # It listens, so the kernel connects; nobody ever answers.
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        assert_unavailable(refused(f"http://127.0.0.1:{listener.getsockname()[1]}"))


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 422, 429, 500, 503])
def test_any_status_but_success_is_a_503(consent: Decider, status: int) -> None:
    consent.raw = lambda _sendings: (status, json.dumps([NOTHING]).encode())
    assert_unavailable(refused(consent.url))


GARBAGE: dict[str, Any] = {
    "nothing": b"",
    "no JSON": b"<html>Sample Aspen</html>",
    "no UTF-8": b"\xff\xfe",
    "null": b"null",
    "a number": b"7",
    "a text": b'"linked"',
    "an object": b'{"seal": null, "statistics": null}',
    "no answers": [],
    "too many answers": [NOTHING, NOTHING],
    "an answer that is no object": [7],
    "an answer that is null": [None],
    "an answer that is a text": ["linked"],
    "an answer without `seal`": [{"statistics": None}],
    "an answer without `statistics`": [{"seal": None}],
    "a seal that is a text": [NOTHING | {"seal": "yes"}],
    "an empty key": "",
    "a short key": base64url(b"short"),
    "a long key": base64url(bytes(33)),
    "a key that is no base64": "???",
    "a key that is a number": 7,
}


@pytest.mark.parametrize("name", GARBAGE)
def test_an_answer_that_cannot_be_used_is_a_503(consent: Decider, name: str) -> None:
    found = GARBAGE[name]
    if not isinstance(found, bytes | list):
        found = [NOTHING | {"seal": {"grant": "g", "public_key": found, "categories": ["summary"], "epoch": 1}}]
    content = found if isinstance(found, bytes) else json.dumps(found).encode()
    consent.raw = lambda _sendings: (200, content)
    assert_unavailable(refused(consent.url))


def test_too_few_answers_are_a_503_however_many_were_asked_for(consent: Decider) -> None:
    consent.raw = lambda sendings: (200, json.dumps([NOTHING] * (len(sendings) - 1)).encode())
    assert_unavailable(refused(consent.url, [SENDING] * 5))
