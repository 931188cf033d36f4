"""Offers over HTTP: asked, claimed, declined, chosen by her among the claimers, and closed; both ways to run."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from services.client import Partner
from tests.journey.conftest import DISTRIBUTED, EMBEDDED
from tests.support.hubs import TestHub, distributed_hub, embedded_hub, eventually
from tests.support.people import PARTS, Person, meet, referral

OFFERS, FEED = "/referral/v1/offers", "/referral/v1/feed"
ASKED = {"need": "N02", "stage": "crisis", "region": "toronto", "urgency": "24h"}


class World:
    """A hub with an agency that asks, two that serve the need, one that does not, and the police, which declare it too."""

    def __init__(self, hub: TestHub) -> None:
        self.asking = hub.join("Sample Outreach", "ngo")
        self.shelter = hub.join("Sample Shelter", "housing")
        self.house = hub.join("Sample House", "housing")
        self.clinic = hub.join("Sample Clinic", "health")
        self.police = hub.join("Sample Police", "police")
        self.person: Person = meet(hub, self.asking)
        for agency, region in ((self.shelter, "toronto"), (self.house, "halifax"), (self.police, "toronto")):
            declare(agency, region)

    def open(self) -> str:
        """Open an offer and wait until those who serve it have it; return its id."""
        told = self.asking.post({"type": "offer.opened.v1", "data": {**ASKED, "regions": ["halifax"]}})
        name = str(told["thread"])
        for agency in (self.asking, self.shelter, self.house):
            eventually(partial(is_seen, agency, name))
        return name


def is_seen(agency: Partner, name: str) -> bool:
    return status(agency, name) == 200


@pytest.fixture(params=[EMBEDDED, DISTRIBUTED], scope="module")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("hub")
    if request.param == "embedded":
        with embedded_hub(folder) as hub:
            yield World(hub)
        return
    postgres, kafka = request.getfixturevalue("postgres_server"), request.getfixturevalue("kafka_server")
    with distributed_hub(folder, postgres, kafka) as hub:
        yield World(hub)


def declare(agency: Partner, region: str, available: int = 2) -> None:
    data = {"program": "p1", "need": "N02", "region": region, "unit": "bed", "total": 9, "available": available}
    agency.post({"type": "capacity.declared.v1", "data": {**data, "as_of": datetime.now(UTC).isoformat()}})


def say(agency: Partner, kind: str, offer: str, **data: Any) -> dict[str, Any]:
    return agency.post({"type": f"offer.{kind}.v1", "data": {"offer": offer, **data}})


def status(agency: Partner, offer: str) -> int:
    return agency.request("GET", f"{OFFERS}/{offer}").status_code


def seen(agency: Partner, offer: str) -> dict[str, Any]:
    told: dict[str, Any] = agency.call("GET", f"{OFFERS}/{offer}")
    return told


def told(agency: Partner, offer: str) -> list[tuple[str, str]]:
    items = agency.call("GET", FEED)["items"]
    return [(item["type"], item["state"]) for item in items if item["id"] == offer]


@pytest.fixture(scope="module")
def served(world: World) -> World:
    """Wait until what was declared has arrived: an offer made before it reaches nobody."""

    def reaches_both() -> bool:
        name = str(world.asking.post({"type": "offer.opened.v1", "data": {**ASKED, "regions": ["halifax"]}})["thread"])
        eventually(lambda: status(world.asking, name) == 200)
        return all(status(agency, name) == 200 for agency in (world.shelter, world.house))

    eventually(reaches_both)
    return world


def test_claimers_are_chosen_from_by_her_and_the_offer_closes(served: World) -> None:
    name = served.open()
    say(served.shelter, "claimed", name)
    say(served.house, "claimed", name, wait="days_1_3")
    eventually(lambda: len(seen(served.asking, name)["claims"]) == 2)
    claims = {claim["agency"]: claim["wait"] for claim in seen(served.asking, name)["claims"]}
    assert claims == {served.shelter.client_id: None, served.house.client_id: "days_1_3"}
    assert [claim["agency"] for claim in seen(served.shelter, name)["claims"]] == [served.shelter.client_id]

    wish = {"ppid": served.person.ppid, "agencies": sorted(claims), "purpose": "referral", "categories": ["summary"]}
    drafts = {"summary": PARTS["summary"]}
    request = served.asking.call("POST", "/consent/v1/consent-requests", {**wish, "drafts": drafts})["request"]
    chosen = {"accept": True, "agency": served.house.client_id}
    served.person.page.step_up(served.person.pin)
    served.person.page.call("POST", f"/requests/{request}", chosen)
    sent = {to.client_id: served.asking.post(post(served, to, name)) for to in (served.shelter, served.house)}
    assert sent[served.shelter.client_id]["status"] == "withheld"
    assert sent[served.house.client_id]["status"] == "accepted"

    eventually(lambda: told(served.shelter, name)[-1:] == [("offer.closed.v1", "closed")])
    shown = seen(served.shelter, name)
    assert not shown["open"]
    for hidden in (served.house.client_id, served.person.ppid, sent[served.house.client_id]["thread"]):
        assert hidden not in json.dumps(shown)
    say(served.house, "claimed", name)
    eventually(lambda: ("event.refused.v1", "rejected") in refusals(served.house))


def post(world: World, to: Partner, offer: str) -> dict[str, Any]:
    return referral(world.person, to, offer=offer, parts={"summary": PARTS["summary"]})


def refusals(agency: Partner) -> list[tuple[str, str]]:
    return [(item["type"], item["state"]) for item in agency.call("GET", FEED)["items"]]


def test_decline_is_seen_by_the_opener_only(served: World) -> None:
    name = served.open()
    say(served.shelter, "declined", name, reason="pets")
    eventually(lambda: seen(served.asking, name)["declines"])
    [one] = seen(served.asking, name)["declines"]
    assert (one["agency"], one["reason"]) == (served.shelter.client_id, "pets")
    assert seen(served.house, name)["declines"] == seen(served.shelter, name)["declines"] == []
    assert ("offer.declined.v1", "declined") in told(served.asking, name)
    assert "offer.declined.v1" not in [kind for kind, _ in told(served.house, name)]


def test_offer_is_absent_for_those_who_did_not_get_it(served: World) -> None:
    name, nowhere = served.open(), str(uuid4())
    for agency in (served.clinic, served.police):
        answers = [agency.request("GET", f"{OFFERS}/{one}") for one in (name, nowhere)]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].content == answers[1].content
        assert name not in json.dumps(agency.call("GET", OFFERS))
        assert told(agency, name) == []


def test_claim_by_a_stranger_is_refused_as_of_no_offer(served: World) -> None:
    name, nowhere = served.open(), str(uuid4())
    events = [served.clinic.event({"type": "offer.claimed.v1", "data": {"offer": one}}) for one in (name, nowhere)]
    for event in events:
        served.clinic.post(event)
    reasons = [eventually(partial(reason, served.clinic, event["id"])) for event in events]
    assert reasons == ["unknown_offer", "unknown_offer"]
    assert seen(served.asking, name)["claims"] == []


def reason(agency: Partner, event: str) -> str | None:
    found: str | None = agency.call("GET", f"/intake/v1/events/{event}").get("reason")
    return found


def test_event_of_offers_by_the_police_is_rejected_at_once(served: World) -> None:
    for kind, data in (("opened", ASKED), ("claimed", {"offer": str(uuid4())})):
        event = served.police.event({"type": f"offer.{kind}.v1", "data": data})
        answer = served.police.request("POST", "/intake/v1/events", event, "application/cloudevents+json")
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:fireweed:problem:not-for-police")


def test_closed_by_its_opener_the_offer_takes_no_claim(served: World) -> None:
    name = served.open()
    say(served.asking, "closed", name)
    eventually(lambda: not seen(served.asking, name)["open"])
    event = served.shelter.event({"type": "offer.claimed.v1", "data": {"offer": name}})
    served.shelter.post(event)
    assert eventually(lambda: reason(served.shelter, event["id"])) == "offer_closed"


@pytest.mark.parametrize("query", ["cursor=x", "cursor=1", "cursor=", "curser=x", "state=open", f"cursor={'a' * 37}"])
def test_offers_query_that_is_wrong_is_refused(world: World, query: str) -> None:
    answer = world.clinic.request("GET", f"{OFFERS}?{query}")
    assert 400 <= answer.status_code < 500
    assert answer.json()["errors"][0]["member"].startswith("query")


@pytest.mark.parametrize("name", ["x", "%00", "a" * 200])
def test_id_that_is_none_is_refused_as_unknown(world: World, name: str) -> None:
    assert world.clinic.request("GET", f"{OFFERS}/{name}").status_code in {400, 404}
