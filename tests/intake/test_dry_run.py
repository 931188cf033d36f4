"""A dry run checks everything and does nothing; what intake knows of agencies holds at once, whatever the bus does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.client import Partner
from services.common.messaging.cloudevents import BATCH_CONTENT_TYPE, CONTENT_TYPE
from services.intake import handlers
from tests.support.running_intake import Decider, RunningIntake, capacity, event, referral, running_intake

EVENTS = "/intake/v1/events"
OFFER = {"need": "N02", "stage": "crisis", "region": "toronto", "urgency": "1h"}


@pytest.fixture
def running(database_url: str, tmp_path: Path, consent: Decider) -> Iterator[RunningIntake]:
    """Yield intake with the machine's clock; nothing is relayed, as if the bus were down."""
    with running_intake(tmp_path, consent.url, database_url=database_url) as made:
        yield made


@pytest.fixture
def partner(running: RunningIntake) -> Partner:
    return running.join()


def tried(partner: Partner, body: Any, query: str = "dry-run=true") -> httpx2.Response:
    kind = BATCH_CONTENT_TYPE if isinstance(body, list) else CONTENT_TYPE
    return partner.request("POST", f"{EVENTS}?{query}", body, kind)


def test_dry_run_stores_seals_asks_and_sends_nothing(
    running: RunningIntake, consent: Decider, partner: Partner
) -> None:
    consent.decide = lambda _sending: consent.permit("summary")
    documents = [partner.event(capacity()), partner.event(referral(running.agency())), {"id": "e3"}]
    answer = tried(partner, documents)
    assert answer.status_code == 200
    told = answer.json()
    assert [(result["status"], result["dry_run"]) for result in told] == [
        ("valid", True),
        ("valid", True),
        ("rejected", True),
    ]
    assert all(result["parts"] == {} and "thread" not in result for result in told)
    assert (running.kept(), running.sent(), consent.asked) == ({}, [], [])
    assert [result["status"] for result in partner.call("POST", EVENTS, documents, BATCH_CONTENT_TYPE)] == [
        "accepted",
        "accepted",
        "rejected",
    ]


def test_dry_run_of_an_invalid_event_is_the_same_problem(partner: Partner) -> None:
    wrong = partner.event(capacity(need="sleep"))
    dry, real = tried(partner, wrong), partner.request("POST", EVENTS, wrong, CONTENT_TYPE)
    assert dry.status_code == real.status_code == 422
    assert dry.json() == real.json()


def test_dry_run_answers_like_for_every_ppid(running: RunningIntake, consent: Decider, partner: Partner) -> None:
    """To try out must not tell what she allows: nobody would see that it was asked."""
    consent.decide = lambda sending: consent.permit("summary") if sending["ppid"] == "known" else consent.permit()
    to = running.agency()
    one, other = (tried(partner, event(partner.client_id, referral(to, name), id="e1")) for name in ("known", "x"))
    assert one.json() == other.json()


def test_dry_run_knows_ids_that_were_used(partner: Partner) -> None:
    document = partner.event(capacity())
    partner.call("POST", EVENTS, document, CONTENT_TYPE)
    assert tried(partner, document).json()["status"] == "duplicate"
    assert tried(partner, {**document, "data": {**document["data"], "available": 1}}).status_code == 409


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("dry_run=true", 400),
        ("dryrun=true", 400),
        ("Dry-Run=true", 400),
        ("dry-run=true&dry-run=false", 400),
        ("dry-run=TRUE", 422),
        ("dry-run=1", 422),
        ("dry-run=", 422),
        ("dry-run=true&x=1", 400),
    ],
)
def test_misspelt_dry_run_posts_nothing(running: RunningIntake, partner: Partner, query: str, status: int) -> None:
    answer = tried(partner, partner.event(capacity()), query)
    assert answer.status_code == status
    assert "errors" in answer.json()
    assert running.kept() == {}


def test_dry_run_counts_against_the_limit(partner: Partner) -> None:
    answer = tried(partner, [partner.event(capacity()) for _ in range(7)])
    assert answer.headers["ratelimit"].startswith('"events";r=29993;')
    assert answer.headers["ratelimit-policy"] == '"events";q=30000;w=60'


def test_limit_counts_each_event_and_tells_when_to_return(running: RunningIntake, partner: Partner) -> None:
    limits = running.service.app.state.gate.limits  # type: ignore[attr-defined]
    limits.spend(partner.client_id, "events", 29_990)
    answer = tried(partner, [partner.event(capacity()) for _ in range(500)], "dry-run=false")
    assert (answer.status_code, answer.json()["type"]) == (429, "urn:fireweed:problem:quota-exceeded")
    assert answer.headers["ratelimit"].startswith('"events";r=')
    assert int(answer.headers["retry-after"]) >= 1
    assert running.kept() == {}


def test_suspended_recipient_is_told_at_once(running: RunningIntake, consent: Decider, partner: Partner) -> None:
    consent.decide = lambda _sending: consent.permit("summary")
    to = running.agency()
    before = partner.event(referral(to))
    assert partner.call("POST", EVENTS, before, CONTENT_TYPE)["status"] == "accepted"
    handlers.set_standing(running.context, to, "suspended")
    answer = partner.request("POST", EVENTS, partner.event(referral(to)), CONTENT_TYPE)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:fireweed:problem:recipient-suspended")
    assert answer.json()["errors"][0]["member"] == "/data/to"
    # The retry of what was taken before still gets its first answer.
    assert partner.call("POST", EVENTS, before, CONTENT_TYPE)["status"] == "duplicate"
    handlers.set_standing(running.context, to, "active")
    assert partner.post(referral(to))["status"] == "accepted"


def test_unknown_recipient_is_told_at_once_and_the_rest_goes_on(running: RunningIntake, partner: Partner) -> None:
    documents = [partner.event(referral("agency-zzzzzzzzzz")), partner.event(capacity())]
    told = partner.call("POST", EVENTS, documents, BATCH_CONTENT_TYPE)
    assert [(result["status"], result.get("reason")) for result in told] == [
        ("rejected", "unknown_recipient"),
        ("accepted", None),
    ]
    assert [kept.type for kept in running.kept().values()] == ["capacity.declared.v1"]


def test_suspended_sender_is_stopped_at_once(running: RunningIntake, partner: Partner) -> None:
    """Its token is still good; neither that nor a new one helps."""
    assert partner.post(capacity())["status"] == "accepted"
    handlers.set_standing(running.context, partner.client_id, "suspended")
    assert partner.request("POST", EVENTS, partner.event(capacity()), CONTENT_TYPE).status_code == 403
    partner._renew_at = 0.0
    url = partner.origins.url("/intake/oauth/token")
    answer = partner.http.post(url, data=partner.token_form(), headers={"dpop": partner.proof("POST", url)})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")


@pytest.mark.parametrize("change", [str.upper, lambda name: f"{name} ", lambda name: name.replace("a", "\u0430")])
def test_sender_that_resembles_another_is_rejected(running: RunningIntake, partner: Partner, change: Any) -> None:
    """A name that differs only to a machine is another's: as source, and as client id."""
    name = change(partner.client_id)
    document = {**partner.event(capacity()), "source": name}
    assert partner.request("POST", EVENTS, document, CONTENT_TYPE).status_code == 422
    url = partner.origins.url("/intake/oauth/token")
    alike = Partner.connect(running.origins, name, partner.key.as_dict(private=True))
    answer = alike.http.post(url, data=alike.token_form(), headers={"dpop": alike.proof("POST", url)})
    alike.close()
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")
    assert running.kept() == {}


@pytest.mark.parametrize(
    ("kind", "data"),
    [("offer.opened.v1", OFFER), ("offer.claimed.v1", {"offer": "0197b2c0-11aa-7f00-8d21-6b1f0e9d8c77"})],
)
def test_police_take_no_part_in_offers(running: RunningIntake, kind: str, data: dict[str, Any]) -> None:
    police, other = running.join("Sample Police", "police"), running.join()
    answer = police.request("POST", EVENTS, police.event({"type": kind, "data": data}), CONTENT_TYPE)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:fireweed:problem:not-for-police")
    assert other.post({"type": kind, "data": data})["status"] == "accepted"
