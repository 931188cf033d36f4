"""An agency's keys: exchanged without losing anything, never another agency's, and fetched as a stranger's document."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from joserfc.jwk import Key

from services.client import Partner, Refused, new_key, public_jwks
from services.common.errors import Problem
from services.common.http.outgoing import OutgoingClient
from services.intake import agency_keys, handlers
from services.intake.agency_keys import MOST_BYTES, add_keys, fetch_keys, remove_key, replace_keys, show_keys
from tests.support.running_intake import Decider, RunningIntake, running_intake
from tests.support.server import answering


@pytest.fixture
def live(database_url: str, tmp_path: Any, consent: Decider) -> Iterator[RunningIntake]:
    """Yield intake with the machine's clock, which partners' clients use too."""
    with running_intake(tmp_path, consent.url, database_url=database_url) as made:
        yield made


def joined(intake: RunningIntake) -> tuple[str, Key]:
    key = new_key()
    return str(handlers.add_agency(intake.context, "Sample", "ngo", public_jwks(key), force=True).id), key


def signs_in(intake: RunningIntake, agency: str, key: Key) -> bool:
    partner = Partner.connect(intake.origins, agency, key.as_dict(private=True))
    try:
        return bool(partner.token())
    except Refused:
        return False
    finally:
        partner.close()


def refused(act: Any, *arguments: Any) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        act(*arguments)
    return caught.value.status, caught.value.code


def test_rotation_leaves_no_moment_without_a_key(live: RunningIntake) -> None:
    """The client names no `kid`, as many do, so either of its keys must be tried."""
    agency, old = joined(live)
    new = new_key()
    assert len(add_keys(live.context, agency, public_jwks(new))) == 2
    assert signs_in(live, agency, old)
    assert signs_in(live, agency, new)
    assert not signs_in(live, agency, new_key())
    remove_key(live.context, agency, old.thumbprint())
    assert signs_in(live, agency, new)
    assert not signs_in(live, agency, old)


def test_replaced_key_signs_in_no_more_and_the_agency_stays(live: RunningIntake) -> None:
    agency, old = joined(live)
    new = new_key()
    replace_keys(live.context, agency, public_jwks(new))
    assert not signs_in(live, agency, old)
    assert signs_in(live, agency, new)
    [row] = handlers.list_agencies(live.context)
    assert (row.id, row.name, row.standing, row.version) == (agency, "Sample", "active", 1)


def test_third_key_is_refused_and_nothing_changes(running: RunningIntake) -> None:
    agency, _ = joined(running)
    add_keys(running.context, agency, public_jwks(new_key()))
    before = show_keys(running.context, agency)
    assert refused(add_keys, running.context, agency, public_jwks(new_key())) == (409, "too-many-keys")
    three = {"keys": [key for _ in range(3) for key in public_jwks(new_key())["keys"]]}
    assert refused(replace_keys, running.context, agency, three) == (400, "invalid-request")
    assert show_keys(running.context, agency) == before


def test_key_added_twice_is_there_once(running: RunningIntake) -> None:
    agency, key = joined(running)
    again = [{**document, "kid": "another-name"} for document in public_jwks(key)["keys"]]
    assert len(add_keys(running.context, agency, {"keys": again})) == 1


@pytest.mark.parametrize("act", [add_keys, replace_keys])
def test_key_of_another_agency_is_refused(running: RunningIntake, act: Any) -> None:
    """Also under another kid, and also if that agency has it as its second key only."""
    agency, _ = joined(running)
    other, _ = joined(running)
    second = new_key()
    add_keys(running.context, other, public_jwks(second))
    renamed = [{**document, "kid": "mine"} for document in public_jwks(second)["keys"]]
    before = show_keys(running.context, agency)
    assert refused(act, running.context, agency, {"keys": renamed}) == (409, "agency-key-known")
    assert show_keys(running.context, agency) == before


def test_last_key_unknown_key_and_unknown_agency_are_refused(running: RunningIntake) -> None:
    agency, key = joined(running)
    assert refused(remove_key, running.context, agency, key.thumbprint()) == (409, "last-key")
    assert refused(remove_key, running.context, agency, "nothing") == (404, "unknown-key")
    for act, more in ((show_keys, ()), (remove_key, ("x",)), (add_keys, (public_jwks(new_key()),))):
        assert refused(act, running.context, "agency-zzzzzzzzzz", *more) == (404, "unknown-agency")


def test_two_keys_with_one_kid_are_refused(running: RunningIntake) -> None:
    agency, _ = joined(running)
    kid = show_keys(running.context, agency)[0]["kid"]
    same = [{**document, "kid": kid} for document in public_jwks(new_key())["keys"]]
    assert refused(add_keys, running.context, agency, {"keys": same}) == (400, "invalid-request")


@dataclass(slots=True)
class Site:
    """A partner's web site, whose answer a test chooses."""

    url: str = ""
    status: int = 200
    kind: str = "application/json"
    body: bytes = b""
    more: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            self.send_response(made.status)
            for name, value in {"content-type": made.kind, **made.more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(made.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    with answering(Handler) as port:
        made.url = f"http://127.0.0.1:{port}/keys"
        yield made


NEAR = OutgoingClient(to_loopback=True, seconds=2)


@pytest.mark.parametrize("kind", ["application/json", "application/jwk-set+json", "application/json; charset=utf-8"])
def test_key_set_at_a_url_is_read(site: Site, kind: str) -> None:
    keys = public_jwks(new_key())
    site.kind, site.body = kind, json.dumps(keys).encode()
    assert fetch_keys(NEAR, site.url) == keys
    assert site.asked == ["/keys"]


@pytest.mark.parametrize(
    ("status", "kind", "body", "more"),
    [
        (200, "text/html", b"<html>", {}),
        (200, "text/html", json.dumps(public_jwks(new_key())).encode(), {}),
        (200, "", b"{}", {}),
        (200, "application/json", b"", {}),
        (200, "application/json", b"<html>", {}),
        (200, "application/json", b"[" * 60_000, {}),
        (200, "application/json", b" " * (MOST_BYTES + 1), {}),
        (200, "application/json", b" " * 10_000_000, {}),
        (200, "application/json", b"{}", {"content-encoding": "gzip", "content-length": "0"}),
        (302, "application/json", b"{}", {"location": "/keys"}),
        (301, "application/json", b"{}", {"location": "http://169.254.169.254/"}),
        (204, "application/json", b"", {}),
        (404, "application/json", b"{}", {}),
        (500, "application/json", b"{}", {}),
    ],
    ids=range(14),
)
def test_other_answer_is_refused_with_a_problem(site: Site, status: int, kind: str, body: bytes, more: Any) -> None:
    site.status, site.kind, site.body, site.more = status, kind, body, more
    with pytest.raises(Problem) as caught:
        fetch_keys(NEAR, site.url)
    assert (caught.value.status, caught.value.faults[0].member) == (400, "--jwks-url")
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://agency.example/keys",
        "https://127.0.0.1/keys",
        "https://2130706433/keys",
        "https://[::1]/keys",
        "https://user@agency.example/keys",
        "https://agency.example/keys#x",
        "file:///etc/passwd",
        "data:application/json,{}",
        "",
    ],
)
def test_url_that_may_not_be_called_is_refused_unasked(url: str) -> None:
    asked: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["93.184.215.14"]

    with pytest.raises(Problem) as caught:
        fetch_keys(OutgoingClient(resolve=resolve), url)
    assert caught.value.status == 400
    assert asked == []


@pytest.mark.parametrize("address", ["10.0.0.7", "127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.7", "fd00::1"])
def test_name_that_leads_inside_is_refused_uncalled(address: str) -> None:
    client = OutgoingClient(resolve=lambda _host, _port: ["93.184.215.14", address])
    with pytest.raises(Problem):
        fetch_keys(client, "https://agency.example/keys")


def test_peer_that_sends_a_byte_at_a_time_is_given_up(site: Site) -> None:
    """Here it announces more than it sends, and keeps the connection open."""
    site.more, site.body = {"content-length": "100"}, b"{"
    with pytest.raises(Problem):
        agency_keys.fetch_keys(OutgoingClient(to_loopback=True, seconds=0.5), site.url)
