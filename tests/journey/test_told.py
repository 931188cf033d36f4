"""Agencies are told over HTTP: feed with long poll, lists, list of agencies, webhook; both ways to run."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from services.client import Partner
from tests.journey.conftest import DISTRIBUTED, EMBEDDED
from tests.support.hubs import TestHub, distributed_hub, embedded_hub, eventually
from tests.support.people import Person, answer, inbox, meet, send, state
from tests.support.webhook_receiver import receiver, status

FEED, LIST, HOOK = "/referral/v1/feed", "/referral/v1/referrals", "/referral/v1/webhook"


class World:
    """A hub with three agencies and a person who lets the shelter have her summary."""

    def __init__(self, hub: TestHub) -> None:
        self.hub = hub
        self.sender = hub.join("Sample Outreach", "ngo")
        self.recipient = hub.join("Sample Shelter", "housing")
        self.stranger = hub.join("Sample Clinic", "health")
        self.person: Person = meet(hub, self.sender)
        self.grant = self.person.page.allow(self.recipient.client_id, "referral", ["summary"])

    def send(self) -> str:
        """Send a referral and wait until its recipient has it; return its id."""
        name = send(self.person, self.sender, self.recipient)
        eventually(lambda: any(item["referral"] == name for item in inbox(self.recipient)))
        return name


@pytest.fixture(params=[EMBEDDED, DISTRIBUTED], scope="module")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("hub")
    if request.param == "embedded":
        with embedded_hub(folder, push_to_loopback=True) as hub:
            yield World(hub)
        return
    postgres, kafka = request.getfixturevalue("postgres_server"), request.getfixturevalue("kafka_server")
    with distributed_hub(folder, postgres, kafka, push_to_loopback=True) as hub:
        yield World(hub)


def end_of(agency: Partner) -> int:
    """Read a feed to its end; return the last number."""
    after = 0
    while (page := agency.call("GET", f"{FEED}?after={after}"))["items"]:
        after = page["next"]
    return after


def test_both_sides_follow_a_referral_by_their_feeds(world: World) -> None:
    begin = {agency.client_id: end_of(agency) for agency in (world.sender, world.recipient)}
    name = world.send()
    answer(world.recipient, "accepted", name)
    eventually(lambda: state(world.sender, name) == "accepted")
    for agency in (world.sender, world.recipient):
        items = agency.call("GET", f"{FEED}?after={begin[agency.client_id]}")["items"]
        assert [(item["type"], item["id"], item["state"]) for item in items] == [
            ("referral.updated.v1", name, "requested"),
            ("referral.updated.v1", name, "accepted"),
        ]
        assert [item["number"] for item in items] == [items[0]["number"], items[0]["number"] + 1]
    assert name not in json.dumps(world.stranger.call("GET", FEED))


def test_refused_answer_is_in_the_feed_of_its_sender(world: World) -> None:
    name, before = world.send(), end_of(world.recipient)
    event = world.recipient.event({"type": "referral.completed.v1", "data": {"referral": name, "outcome": "needs_met"}})
    world.recipient.post(event)
    [item] = world.recipient.call("GET", f"{FEED}?after={before}&wait=20")["items"]
    assert (item["type"], item["id"], item["state"]) == ("event.refused.v1", event["id"], "rejected")


def test_long_poll_ends_when_something_has_come(world: World) -> None:
    before = end_of(world.recipient)
    with ThreadPoolExecutor(1) as beside:
        began = time.monotonic()
        told = beside.submit(world.recipient.call, "GET", f"{FEED}?after={before}&wait=25")
        name = send(world.person, world.sender, world.recipient)
        [item] = told.result(30)["items"]
    assert item["id"] == name
    assert time.monotonic() - began < 20


def test_long_poll_without_news_ends_after_its_seconds(world: World) -> None:
    before, began = end_of(world.stranger), time.monotonic()
    assert world.stranger.call("GET", f"{FEED}?after={before}&wait=1") == {"items": [], "next": before}
    assert 1 <= time.monotonic() - began < 15


def test_notice_is_in_the_feed_of_its_agency(world: World) -> None:
    grant = world.person.page.allow(world.stranger.client_id, "referral", ["summary"])
    before = end_of(world.stranger)
    world.person.page.call("DELETE", f"/grants/{grant}")
    [item] = world.stranger.call("GET", f"{FEED}?after={before}&wait=25")["items"]
    assert item["type"] == "notice.made.v1"
    assert item["id"] in world.stranger.call("POST", "/consent/v1/notices/poll", {})["sets"]


@pytest.mark.parametrize(
    ("query", "member"),
    [
        ("after=1000000", "query after"),
        ("after=-1", "query after"),
        ("after=99999999999999999999", "query after"),
        ("after=x", "query after"),
        ("wait=26", "query wait"),
        ("wait=nan", "query wait"),
        ("afer=1", "query"),
    ],
)
def test_feed_query_that_is_wrong_is_refused(world: World, query: str, member: str) -> None:
    told = world.stranger.request("GET", f"{FEED}?{query}")
    assert 400 <= told.status_code < 500
    assert told.json()["errors"][0]["member"] == member


@pytest.mark.parametrize(
    ("query", "member"),
    [
        ("", "query role"),
        ("role=other", "query role"),
        ("role=sender&state=lost", "query state"),
        ("role=sender&cursor=x", "query cursor"),
        ("role=sender&cursor=-1", "query cursor"),
        ("role=sender&status=open", "query"),
    ],
)
def test_list_query_that_is_wrong_is_refused(world: World, query: str, member: str) -> None:
    told = world.sender.request("GET", f"{LIST}?{query}")
    assert 400 <= told.status_code < 500
    assert told.json()["errors"][0]["member"] == member


def test_sender_lists_what_it_sent_by_state(world: World) -> None:
    name = world.send()
    answer(world.recipient, "waitlisted", name, wait="days_8_30")
    eventually(lambda: state(world.sender, name) == "waitlisted")
    [item] = world.sender.call("GET", f"{LIST}?role=sender&state=waitlisted")["items"]
    assert (item["referral"], item["recipient"]) == (name, world.recipient.client_id)
    assert world.stranger.call("GET", f"{LIST}?role=sender")["items"] == []


def test_agencies_find_each_other_in_the_list(world: World) -> None:
    items = world.stranger.call("GET", "/intake/v1/agencies")["items"]
    assert {item["name"] for item in items} == {"Sample Outreach", "Sample Shelter", "Sample Clinic"}


def test_webhook_tells_of_a_new_referral_and_is_replayed(world: World) -> None:
    with receiver() as there:
        told = world.recipient.call("PUT", HOOK, {"url": there.url, "signing": "hmac"})
        assert told["secret"].startswith("whsec_")
        name = world.send()
        eventually(lambda: any(name in body for _, body in there.got))
        number = eventually(lambda: world.recipient.call("POST", f"{HOOK}/test")["number"])
        eventually(lambda: any("webhook.test.v1" in body for _, body in there.got))
        again = world.recipient.call("POST", f"{HOOK}/replay", {"after": number - 1})
        assert again["number"] >= number
        eventually(lambda: sum("webhook.test.v1" in body for _, body in there.got) == 2)
        there.then = status(410)
        world.send()
        eventually(lambda: world.recipient.call("GET", HOOK)["disabled_because"] == "gone")
        shown: Any = world.recipient.call("GET", HOOK)
        assert shown["secret"] is None
        assert [failure["answer"] for failure in shown["failures"]] == ["410"]
        assert told["secret"] not in json.dumps(shown)
    assert world.recipient.request("POST", f"{HOOK}/test").status_code == 409
    assert world.recipient.request("DELETE", HOOK).status_code == 204
    assert world.recipient.request("GET", HOOK).status_code == 404


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({"url": "http://agency.example/hook"}, "/url"),
        ({"url": "https://10.0.0.7/hook"}, "/url"),
        ({"url": "https://localhost./hook"}, "/url"),
        ({}, "/url"),
        ({"url": "https://agency.example/", "signing": "md5"}, "/signing"),
        ({"url": "https://agency.example/", "secret": "whsec_mine"}, ""),
    ],
)
def test_webhook_that_may_not_be_is_refused(world: World, body: dict[str, Any], member: str) -> None:
    told = world.stranger.request("PUT", HOOK, body)
    assert 400 <= told.status_code < 500
    assert told.json()["errors"][0]["member"] == member
    assert world.stranger.request("GET", HOOK).status_code == 404


def test_agency_suspended_while_it_waits_is_told_nothing(world: World) -> None:
    late = world.hub.join("Sample Library", "ngo")
    with ThreadPoolExecutor(1) as beside:
        told = beside.submit(late.request, "GET", f"{FEED}?wait=20")
        world.hub.command("agency", "suspend", late.client_id)
        assert told.result(60).status_code == 403
