"""The journey of one event, over HTTP only: withheld, granted, opened, revoked, granted again, answered, counted."""

from typing import Any

import httpx2
import pytest

from services.client import Partner
from tests.support.hubs import TestHub, eventually
from tests.support.people import answer, inbox, meet, open_status, referral, send, state, waiting

Agencies = tuple[Partner, Partner, Partner]


@pytest.fixture(scope="module")
def agencies(running_hub: TestHub) -> Agencies:
    joined = [
        running_hub.join(name, sector) for name, sector in (("Out", "ngo"), ("Bed", "housing"), ("Clinic", "health"))
    ]
    return joined[0], joined[1], joined[2]


def test_event_without_a_grant_is_withheld_and_not_kept(running_hub: TestHub, agencies: Agencies) -> None:
    outreach, shelter, _ = agencies
    person = meet(running_hub, outreach)

    event = outreach.event(referral(person, shelter))
    result = outreach.post(event)

    assert result["status"] == "withheld"
    assert set(result["parts"].values()) == {"withheld"}
    assert outreach.request("GET", f"/intake/v1/events/{event['id']}").status_code == 404


def test_granted_categories_reach_only_the_granted_agency(running_hub: TestHub, agencies: Agencies) -> None:
    outreach, shelter, clinic = agencies
    person = meet(running_hub, outreach)
    person.page.allow(shelter.client_id, "referral", ["summary", "housing"])

    event = outreach.event(referral(person, shelter))
    result = outreach.post(event)
    assert result["parts"] == {"summary": "sealed", "housing": "sealed", "health": "withheld"}
    assert outreach.post(event)["status"] == "duplicate"

    envelope = waiting(shelter, result["thread"])["envelope"]
    opened = shelter.call("POST", "/consent/v1/openings", {"envelope": envelope})
    assert opened["parts"] == {name: event["data"]["parts"][name] for name in ("summary", "housing")}
    assert opened["decision"]["permitted"] == ["housing", "summary"]

    stranger = clinic.request("POST", "/consent/v1/openings", {"envelope": envelope})
    nothing = clinic.request("POST", "/consent/v1/openings", {"envelope": "fw1.bm90aGluZw"})
    assert (stranger.status_code, stranger.content) == (404, nothing.content)
    assert clinic.request("GET", f"/referral/v1/referrals/{result['thread']}").status_code == 404
    assert result["thread"] not in [item["referral"] for item in inbox(clinic)]


def test_new_grant_opens_no_envelope_of_a_revoked_one(running_hub: TestHub, agencies: Agencies) -> None:
    outreach, shelter, _ = agencies
    person = meet(running_hub, outreach)
    grant = person.page.allow(shelter.client_id, "referral", ["summary"])
    thread = send(person, outreach, shelter)
    envelope = waiting(shelter, thread)["envelope"]
    assert open_status(shelter, envelope) == 200

    person.page.revoke(grant)
    assert open_status(shelter, envelope) == 404
    eventually(lambda: state(shelter, thread) == state(outreach, thread) == "withdrawn")
    assert thread not in [item["referral"] for item in inbox(shelter)]

    person.page.allow(shelter.client_id, "referral", ["summary", "housing", "health"])
    assert open_status(shelter, envelope) == 404
    fresh = waiting(shelter, send(person, outreach, shelter))["envelope"]
    assert open_status(shelter, fresh) == 200
    assert open_status(shelter, envelope) == 404


def test_pause_restriction_and_erasure_close_every_envelope(running_hub: TestHub, agencies: Agencies) -> None:
    outreach, shelter, _ = agencies
    person = meet(running_hub, outreach)
    person.page.allow(shelter.client_id, "referral", ["summary"])
    envelope = waiting(shelter, send(person, outreach, shelter))["envelope"]
    never = shelter.request("POST", "/consent/v1/openings", {"envelope": "fw1.bmV2ZXI"}).content

    def closed() -> bool:
        response = shelter.request("POST", "/consent/v1/openings", {"envelope": envelope})
        return response.status_code == 404 and response.content == never

    person.page.call("POST", "/pause")
    assert closed()
    person.page.call("POST", "/resume")
    assert open_status(shelter, envelope) == 200

    restriction = person.page.call("POST", "/restrictions", {"sector": "housing"})["id"]
    assert closed()
    person.page.call("DELETE", f"/restrictions/{restriction}")
    assert open_status(shelter, envelope) == 200

    person.page.call("DELETE", "", {"pin": person.pin})
    assert closed()
    with pytest.raises(Exception, match="401"):
        person.page.call("GET", "/grants")


def test_both_sides_see_a_referral_through_to_its_end(running_hub: TestHub, agencies: Agencies) -> None:
    outreach, shelter, clinic = agencies
    person = meet(running_hub, outreach)
    person.page.allow(shelter.client_id, "referral", ["summary"])
    thread = send(person, outreach, shelter)
    open_status(shelter, waiting(shelter, thread)["envelope"])

    for kind, data in (("accepted", {}), ("started", {}), ("completed", {"outcome": "needs_met"})):
        assert answer(shelter, kind, thread, **data)["status"] == "accepted"
        eventually(lambda kind=kind: state(outreach, thread) == state(shelter, thread) == kind)  # type: ignore[misc]

    seen = eventually(lambda: _opened(outreach, thread))
    assert [step["state"] for step in seen["history"]] == ["requested", "accepted", "started", "completed"]
    assert state(clinic, thread) == ""


def test_impossible_answer_returns_to_its_sender_with_a_reason(running_hub: TestHub, agencies: Agencies) -> None:
    outreach, shelter, clinic = agencies
    person = meet(running_hub, outreach)
    person.page.allow(shelter.client_id, "referral", ["summary"])
    thread = send(person, outreach, shelter)

    for agency, kind, data, reason in (
        (shelter, "completed", {"outcome": "needs_met"}, "not_possible_now"),
        (outreach, "accepted", {}, "not_yours"),
        (clinic, "accepted", {}, "unknown_referral"),
        (shelter, "cancelled", {"reason": "no_longer_needed"}, "not_yours"),
    ):
        posted = answer(agency, kind, thread, **data)
        assert posted["status"] == "accepted"
        seen = eventually(lambda a=agency, p=posted: _rejected(a, p["id"]))  # type: ignore[misc]
        assert seen["reason"] == reason
    assert state(outreach, thread) == "requested"


def test_counts_follow_declarations_and_people_stay_hidden(running_hub: TestHub, agencies: Agencies) -> None:
    outreach, shelter, _ = agencies
    person = meet(running_hub, outreach)
    person.page.call("PUT", "/statistics", {"on": True})
    person.page.allow(shelter.client_id, "referral", ["summary"])
    as_of = "2026-01-01T04:00:00+00:00"
    capacity = {"program": "p1", "need": "N02", "region": "halifax", "unit": "bed", "total": 12, "as_of": as_of}
    shelter.post({"type": "capacity.declared.v1", "data": {**capacity, "available": 7}})
    eventually(lambda: _free(running_hub, "halifax") == 7)

    send(person, outreach, shelter, region="halifax")
    later = {**capacity, "as_of": "2026-01-01T05:00:00+00:00", "available": 6}
    shelter.post({"type": "capacity.declared.v1", "data": later})
    eventually(lambda: _free(running_hub, "halifax") == 6)
    shelter.post({"type": "capacity.declared.v1", "data": {**capacity, "available": 11}})  # older than what is known

    pages = {language: httpx2.get(running_hub.origins.url(f"/reporting/{language}/")).text for language in ("en", "fr")}
    assert _free(running_hub, "halifax") == 6
    assert "Halifax" in pages["en"]
    assert "Hidden." in pages["en"]
    assert "Masqué." in pages["fr"]


def _opened(agency: Partner, thread: str) -> Any:
    seen = agency.call("GET", f"/referral/v1/referrals/{thread}")
    return seen if seen["opened_at"] else None


def _rejected(agency: Partner, event: str) -> Any:
    seen = agency.call("GET", f"/intake/v1/events/{event}")
    return seen if seen["status"] == "rejected" else None


def _free(hub: TestHub, region: str) -> int:
    rows = httpx2.get(hub.origins.url("/reporting/v1/capacity")).json()["capacity"]
    return sum(row["available"] for row in rows if row["region"] == region)
