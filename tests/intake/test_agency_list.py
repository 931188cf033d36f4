"""The list of agencies: who takes part, for authenticated agencies only, in pages."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from services.intake import handlers
from tests.support.running_intake import Decider, RunningIntake, running_intake

AGENCIES = "/intake/v1/agencies"


@pytest.fixture
def running(database_url: str, tmp_path: Path, consent: Decider) -> Iterator[RunningIntake]:
    with running_intake(tmp_path, consent.url, database_url=database_url) as made:
        yield made


def test_list_names_every_agency_with_sector_and_standing(running: RunningIntake) -> None:
    partner, other = running.join(), running.agency("Sample Shelter", "housing")
    handlers.set_standing(running.context, other, "suspended")
    page = partner.call("GET", AGENCIES)
    expected = [
        {"id": partner.client_id, "name": "Sample Outreach", "sector": "ngo", "standing": "active"},
        {"id": other, "name": "Sample Shelter", "sector": "housing", "standing": "suspended"},
    ]
    assert page == {"items": sorted(expected, key=lambda item: item["id"]), "next": None}


def test_pages_have_no_gap_and_no_repeat(running: RunningIntake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "PAGE", 2)
    partner = running.join()
    names = {partner.client_id, *(running.agency(f"Sample {word}", "ngo") for word in ("Birch", "Maple", "Willow"))}
    seen, query = list[str](), ""
    while True:
        page = partner.call("GET", AGENCIES + query)
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        query = f"?cursor={page['next']}"
    assert seen == sorted(names)


@pytest.mark.parametrize("query", ["?sector=ngo", "?cursor=%00", "?cursor=" + "a" * 65, "?cursor=A'"])
def test_query_that_is_not_known_is_refused(running: RunningIntake, query: str) -> None:
    answer = running.join().request("GET", AGENCIES + query)
    assert answer.status_code == (400 if "sector" in query else 422)
    assert answer.json()["errors"][0]["member"].startswith("query")
    assert "ngo" not in answer.text


def test_stranger_learns_nothing(running: RunningIntake) -> None:
    assert httpx2.get(running.origins.url(AGENCIES)).status_code == 401
