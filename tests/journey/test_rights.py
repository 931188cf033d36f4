"""Her rights over HTTP: agencies get notices within a second; she sees requests, pending grants and compelled acts."""

import time
from typing import Any

import pytest

from services.client import Partner, Refused, Survivor
from services.common.auth.jose import key_set, verify
from tests.support.hubs import TestHub, eventually
from tests.support.people import Person, inbox, meet, open_status, referral, send, waiting

Agencies = tuple[Partner, Partner, Partner]
APPROVERS = [{"initials": "AS", "role": "director"}, {"initials": "BT", "role": "privacy_officer"}]


@pytest.fixture(scope="module")
def agencies(running_hub: TestHub) -> Agencies:
    joined = [
        running_hub.join(name, sector) for name, sector in (("Out", "ngo"), ("Bed", "housing"), ("Law", "police"))
    ]
    return joined[0], joined[1], joined[2]


def notices(hub: TestHub, agency: Partner, ack: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """Poll for notices, verify them and return the event claims of each."""
    answer = agency.call("POST", "/consent/v1/notices/poll", {"ack": ack or [], "returnImmediately": True})
    keys = key_set(agency.http.get(hub.origins.url("/consent/jwks.json")).json()["keys"])
    claims = {name: verify(token, keys, "notice").claims for name, token in answer["sets"].items()}
    return {name: next(iter(one["events"].values())) | {"about": one.get("sub_id")} for name, one in claims.items()}


def test_polling_agency_is_told_within_a_second(running_hub: TestHub, agencies: Agencies) -> None:
    outreach, shelter, _ = agencies
    person = meet(running_hub, outreach)
    grant = person.page.allow(shelter.client_id, "referral", ["summary"])
    thread = send(person, outreach, shelter)
    envelope = waiting(shelter, thread)["envelope"]
    opened = shelter.call("POST", "/consent/v1/openings", {"envelope": envelope})
    assert opened["grant"] == grant, "or no notice could be matched with what was kept"
    notices(running_hub, shelter, list(notices(running_hub, shelter)))

    person.page.revoke(grant)
    answered = time.monotonic()
    told = eventually(lambda: notices(running_hub, shelter), 1.0)
    assert time.monotonic() - answered < 1.0
    [(name, said)] = told.items()
    assert (said["grant"], said["action"], said["categories"]) == (grant, "delete", ["summary"])
    assert how_far(person.page, shelter) == (1, 1, 0, 0)
    assert notices(running_hub, shelter, [name]) == {}
    shelter.call("POST", f"/consent/v1/notices/{name}/attestation", {"done": "deleted"})
    assert how_far(person.page, shelter) == (1, 1, 1, 1)
    kinds = [line["kind"] for line in person.page.ledger()]
    assert kinds[:2] == ["notice.attested", "notice.acknowledged"]


def test_a_pause_is_told_and_so_is_its_end(running_hub: TestHub, agencies: Agencies) -> None:
    outreach, shelter, _ = agencies
    person = meet(running_hub, outreach)
    person.page.allow(shelter.client_id, "referral", ["summary"])
    notices(running_hub, shelter, list(notices(running_hub, shelter)))
    person.page.call("POST", "/pause")
    [(first, said)] = notices(running_hub, shelter).items()
    assert said["action"] == "stop_use"
    person.page.call("POST", "/resume")
    [again] = notices(running_hub, shelter, [first]).values()
    assert "action" not in again


def test_an_agency_asks_and_she_answers_when_it_is_safe(running_hub: TestHub, agencies: Agencies) -> None:
    outreach, shelter, _ = agencies
    person = meet(running_hub, outreach)
    asked = {"ppid": person.ppid, "agency": shelter.client_id, "purpose": "referral", "categories": ["summary"]}
    first, again = (outreach.call("POST", "/consent/v1/consent-requests", asked) for _ in range(2))
    assert first == again
    [request] = person.page.call("GET", "/requests")["requests"]
    assert person.page.call("POST", f"/requests/{request['id']}", {"accept": False}) == {"grant": None}
    assert outreach.call("POST", "/consent/v1/consent-requests", asked) == first, "asking again tells of a no"

    health = outreach.call("POST", "/consent/v1/consent-requests", {**asked, "categories": ["health"]})
    answer = person.page.call("POST", f"/requests/{health['request']}", {"accept": True, "days": 3})
    assert [row["id"] for row in person.page.call("GET", "/grants")["grants"]] == [answer["grant"]]


def test_spoken_revocation_stops_everything(running_hub: TestHub, agencies: Agencies) -> None:
    outreach, shelter, _ = agencies
    person = meet(running_hub, outreach)
    person.page.allow(shelter.client_id, "referral", ["summary"])
    envelope = waiting(shelter, send(person, outreach, shelter))["envelope"]
    assert outreach.call("POST", "/consent/v1/revocations", {"ppid": person.ppid}) is None

    assert open_status(shelter, envelope) == 404
    [ended] = [line for line in person.page.ledger() if line["kind"] == "grant.ended"]
    assert ended["detail"]["told_to"] == outreach.client_id


def test_where_someone_works_nothing_arrives_and_nobody_is_named(running_hub: TestHub, agencies: Agencies) -> None:
    outreach, shelter, _ = agencies
    person = meet(running_hub, outreach)
    person.page.allow(shelter.client_id, "referral", ["summary"])
    thread = send(person, outreach, shelter)
    envelope = waiting(shelter, thread)["envelope"]
    person.page.call("POST", "/restrictions", {"agency": shelter.client_id, "reason": "someone_works_there"})

    never = shelter.request("POST", "/consent/v1/openings", {"envelope": "fw1.bmV2ZXI"})
    closed = shelter.request("POST", "/consent/v1/openings", {"envelope": envelope})
    assert (closed.status_code, closed.content) == (404, never.content)
    with pytest.raises(Refused, match="400"):
        person.page.call("POST", "/restrictions", {"agency": "Sample Birch", "reason": "someone_works_there"})


def test_grant_of_a_young_person_waits_for_a_second_look(running_hub: TestHub, agencies: Agencies) -> None:
    outreach, shelter, _ = agencies
    registered = outreach.call("POST", "/consent/v1/subjects", {"language": "fr", "age_band": "under_16"})
    page = running_hub.survivor()
    page.step_up(page.claim(registered["claim_code"])["pin"])
    young = Person(page, registered["ppid"], "", "", registered["revoke_code"])
    body = {"agency": shelter.client_id, "purpose": "referral", "categories": ["summary"]}
    given = page.call("POST", "/grants", body)
    assert (given["waits_for"], given["why"][:1]) == (outreach.client_id, "À")
    assert outreach.post(referral(young, shelter))["status"] == "withheld"

    [look] = outreach.call("GET", "/consent/v1/second-looks")["waiting"]
    outreach.call("POST", f"/consent/v1/second-looks/{look['id']}", {"agree": True})
    assert open_status(shelter, waiting(shelter, send(young, outreach, shelter))["envelope"]) == 200


def test_compelled_disclosure_is_recorded_and_opens_nothing(running_hub: TestHub, agencies: Agencies) -> None:
    outreach, shelter, police = agencies
    person = meet(running_hub, outreach)
    grant = person.page.allow(shelter.client_id, "referral", ["summary"])
    envelope = waiting(shelter, send(person, outreach, shelter))["envelope"]
    person.page.revoke(grant)
    today = time.strftime("%Y-%m-%d", time.gmtime())
    made: dict[str, Any] = {
        "ppid": person.ppid,
        "basis": "court_order",
        "authority": "court",
        "categories": ["summary"],
    }
    made |= {"disclosed_on": today, "approvers": APPROVERS}
    later = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 5 * 86400))
    outreach.call("POST", "/consent/v1/compelled-disclosures", made)
    outreach.call("POST", "/consent/v1/compelled-disclosures", {**made, "sealed_until": later})

    sealed, shown = person.page.call("GET", "/compelled")["records"]
    assert (shown["basis"], shown["approvers"]) == ("court_order", ["AS director", "BT privacy_officer"])
    assert sealed.keys() == {"id", "recorded_at", "sealed_until"}
    assert sealed["sealed_until"] == later
    for agency in (outreach, shelter, police):
        assert open_status(agency, envelope) == 404
    assert inbox(police) == []


def test_her_copy_holds_all_of_it_and_erasing_tells_the_agencies(running_hub: TestHub, agencies: Agencies) -> None:
    outreach, shelter, _ = agencies
    person = meet(running_hub, outreach)
    person.page.allow(shelter.client_id, "referral", ["summary"])
    notices(running_hub, shelter, list(notices(running_hub, shelter)))
    copy = person.page.call("GET", "/export", pin=person.pin)
    assert {"grants", "restrictions", "requests", "waiting", "notices", "compelled", "ledger"} <= copy.keys()

    person.page.call("DELETE", "", {"pin": person.pin})
    [said] = notices(running_hub, shelter).values()
    assert said["action"] == "delete"


def how_far(page: Survivor, agency: Partner) -> tuple[int, ...]:
    [seen] = [row for row in page.call("GET", "/notices")["agencies"] if row["agency"] == agency.client_id]
    return tuple(seen[name] for name in ("notices", "told", "acknowledged", "attested"))
