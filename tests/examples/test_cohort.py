"""A made-up cohort: one seed gives one plan, and both sides of a referral always see the same state."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import schemas
from examples.cohort import Cohort
from examples.cohort_plan import CITIES, Place, Plan, plans
from services.client import Partner
from tests.schemas.contract import FOLDER
from tests.support import peak_memory
from tests.support.hubs import TestHub, embedded_hub
from tests.support.people import inbox, open_status, state

SCRIPT = FOLDER.parent / "examples" / "cohort.py"
PLACES = [Place(f"{region}/{sector}/1", sector, region) for region in CITIES for sector in ("ngo", "housing", "health")]
AGENCIES = {"toronto/ngo/1": "ngo", "toronto/housing/1": "housing", "halifax/health/1": "health"}
EXTRA_MEGABYTES = 10


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestHub]:
    with embedded_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture(scope="module")
def agencies(hub: TestHub) -> dict[str, Partner]:
    return {name: hub.join(f"Example {sector}", sector) for name, sector in AGENCIES.items()}


@pytest.fixture
def folder(agencies: dict[str, Partner], tmp_path: Path) -> Path:
    """Return a folder of the agencies' credentials, as an operator keeps them."""
    for name, agency in agencies.items():
        region, sector, _ = name.split("/")
        key = agency.key.as_dict(private=True)
        line = {"client_id": agency.client_id, "sector": sector, "region": region, "key": key}
        with (tmp_path / f"{region}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
    return tmp_path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)


def digest(told: str) -> str:
    return next(line for line in told.splitlines() if line.startswith("Plan "))


@pytest.mark.slow
def test_a_seed_decides_the_plan_and_the_plan_needs_no_hub(folder: Path) -> None:
    nowhere = "http://127.0.0.1:1"
    first, again, other = (
        run(nowhere, str(folder), "--dry-run", "--size", "6", "--seed", seed) for seed in ("4", "4", "5")
    )
    assert first.returncode == 0, first.stderr
    assert first.stdout == again.stdout
    assert digest(first.stdout) != digest(other.stdout)


def test_a_plan_is_the_same_for_a_person_however_many_follow_her() -> None:
    assert list(plans(PLACES, 3, 1, 90)) == list(plans(PLACES, 300, 1, 90))[:3]


def test_every_code_in_a_plan_is_a_code_of_the_contract() -> None:
    for plan in plans(PLACES, 500, 1, 90):
        assert plan.region in schemas.code_set("regions")
        for ask in plan.asks:
            assert ask.need in schemas.code_set("needs")
            assert ask.stage in schemas.code_set("stages")
            assert ask.urgency in schemas.code_set("urgencies")
            assert ask.purpose in schemas.code_set("purposes")
            assert set(ask.parts) <= schemas.code_set("categories")
            assert ask.to != plan.sender


def test_cohort_follows_the_spread_of_cities_and_does_everything() -> None:
    cohort = list(plans(PLACES, 2000, 1, 90))
    regions = Counter(plan.region for plan in cohort)
    assert set(regions) == set(CITIES)
    assert [region for region, _ in regions.most_common(2)] == ["toronto", "montreal"]
    assert {plan.then for plan in cohort} == {"", "revoke", "pause"}
    assert {plan.counted for plan in cohort if plan.claims} == {True, False}
    assert any(not plan.claims for plan in cohort)
    asks = [ask for plan in cohort for ask in plan.asks]
    answers = {answer for ask in asks for answer in ask.answers}
    assert answers == {"accepted", "declined", "waitlisted", "started", "completed"}
    assert any(not ask.answers for ask in asks)
    assert any(not ask.allowed for ask in asks)


def test_nobody_has_a_name_that_could_be_anybodys() -> None:
    for plan in plans(PLACES, 100, 1, 90):
        word, number = plan.name.split()
        assert word.isalpha()
        assert number.isdigit()


@pytest.mark.slow
@pytest.mark.backend("sqlite", "local_log")
def test_six_people_follow_the_announced_plan(hub: TestHub, folder: Path) -> None:
    arguments = (hub.origins.default, str(folder), "--size", "6", "--seed", "4")
    announced, played = run(*arguments, "--dry-run"), run(*arguments)
    assert played.returncode == 0, played.stderr
    assert digest(played.stdout) == digest(announced.stdout)
    assert "6 people" in played.stdout
    assert "6 of 6 people" in played.stderr


@pytest.mark.slow
@pytest.mark.backend("sqlite", "local_log")
def test_both_sides_agree_and_withdrawn_envelopes_are_gone(hub: TestHub, agencies: dict[str, Partner]) -> None:
    cohort = Cohort(hub.origins, agencies)
    places = [Place(name, *reversed(name.split("/")[:2])) for name in AGENCIES]
    chosen = _one_of_each(places)
    threads = [thread for plan in chosen for thread in cohort.play(plan)]
    cohort.http.close()

    assert {"withdrawn", "completed", "declined"} <= {thread.state for thread in threads}
    for thread in threads:
        sides = agencies[thread.sender], agencies[thread.recipient]
        assert [state(side, thread.id) for side in sides] == [thread.state, thread.state]
        open_items = {item["referral"]: item["envelope"] for item in inbox(sides[1])}
        if thread.state in {"withdrawn", "completed", "declined"}:
            assert thread.id not in open_items
        others = [agency for agency in agencies.values() if agency not in sides]
        assert [state(agency, thread.id) for agency in others] == ["" for _ in others]
        if thread.id in open_items:
            assert [open_status(agency, open_items[thread.id]) for agency in others] == [404 for _ in others]


def _one_of_each(places: list[Place]) -> list[Plan]:
    """Return a few plans with a withdrawn, a completed and a declined referral, and with a pause."""
    wanted: list[Callable[[Plan], object]] = [
        lambda plan: plan.then == "revoke" and plan.asks[0].answers == () and plan.asks[0].allowed,
        lambda plan: plan.then == "" and plan.asks[0].answers[-1:] == ("completed",) and plan.asks[0].allowed,
        lambda plan: plan.then == "" and plan.asks[0].answers == ("declined",) and plan.asks[0].allowed,
        lambda plan: plan.then == "pause" and plan.asks[0].allowed,
        lambda plan: not plan.claims,
    ]
    return [next(plan for plan in plans(places, 2000, 1, 90) if fits(plan)) for fits in wanted]


@pytest.mark.slow
def test_a_large_cohort_takes_no_more_memory_than_a_small_one(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "http://127.0.0.1:1", str(folder), "--dry-run", "--size"]
    small, large = (peak_memory.run([*command, size], tmp_path) for size in ("10", "20000"))
    assert "20000 people" in large.told
    assert large.megabytes < small.megabytes + EXTRA_MEGABYTES


def test_a_folder_without_agencies_is_told_of(tmp_path: Path) -> None:
    told = run("http://127.0.0.1:1", str(tmp_path))
    assert told.returncode == 2
    assert "two agencies or more" in told.stderr


def test_absent_hub_stops_the_cohort_with_a_plain_message(folder: Path) -> None:
    told = run("http://127.0.0.1:1", str(folder), "--size", "2")
    assert told.returncode == 1
    assert "Stopped after 0 people" in told.stderr
    assert "Traceback" not in told.stderr


def test_the_help_tells_what_a_person_costs_the_hub() -> None:
    assert "0.6 s of processor time" in " ".join(run("--help").stdout.split())
