"""Settings, metrics and tests that pages name exist, each existing one has its row, and front pages stay short."""

import re

import pytest

from services.common import metrics
from services.common.settings import Settings
from tests.architecture.tree import ROOT, calls, files, modules, parsed, text

SETTINGS = sorted(f"FIREWEED_{name.upper()}" for name in Settings.model_fields)
METRICS = sorted(re.findall(r'"(fireweed\.[a-z.]+)"', text("services/common/metrics.py")))
# Lines that a first visitor reads in one go; details belong into docs/.
LIMITS = {"README.md": 150, "ARCHITECTURE.md": 200}
INSTRUMENTS = {
    "create_counter",
    "create_up_down_counter",
    "create_histogram",
    "create_gauge",
    "create_observable_gauge",
}


def rows(name: str) -> set[str]:
    """Return the code spans in the first column of the tables of a page."""
    return {match[1] for match in re.finditer(r"^\| `([^`]+)`", text(name), re.MULTILINE)}


@pytest.mark.parametrize("setting", SETTINGS)
def test_setting_has_a_row(setting: str) -> None:
    assert setting in rows("docs/configuration.md")


def test_rows_are_for_settings_that_exist() -> None:
    assert {row for row in rows("docs/configuration.md") if row.startswith("FIREWEED_")} == set(SETTINGS)


def test_pages_and_deploy_name_existing_settings_only() -> None:
    for name in files(".md", ".yaml", ".yml", "Dockerfile", "Makefile", ".conf"):
        assert set(re.findall(r"\bFIREWEED_[A-Z_]*[A-Z]\b", text(name))) <= set(SETTINGS), name


@pytest.mark.parametrize("setting", SETTINGS)
def test_setting_has_a_description(setting: str) -> None:
    told = Settings.model_fields[setting.removeprefix("FIREWEED_").lower()].description
    assert told
    assert told.endswith(".")


@pytest.mark.parametrize("metric", METRICS)
def test_metric_has_a_row(metric: str) -> None:
    assert metric in rows("deploy/README.md")


def test_rows_are_for_metrics_that_exist() -> None:
    assert {row for row in rows("deploy/README.md") if row.startswith("fireweed.")} == set(METRICS)


def test_metrics_are_made_in_one_module_with_descriptions() -> None:
    elsewhere = [name for name in modules("services") if name != "services/common/metrics.py"]
    for name in elsewhere:
        assert not {call.rpartition(".")[2] for call in calls(parsed(name))} & INSTRUMENTS, name
    made = [value for value in vars(metrics).values() if hasattr(value, "_description")]
    source = text("services/common/metrics.py")
    assert source.count("description=") == len(METRICS) == source.count("_meter.create_")
    assert len(made) in {0, len(METRICS)}


def named_tests() -> list[tuple[str, str]]:
    """Return (file, test) for each test that a page names; `::name` alone belongs to the file named before it."""
    found, file = [], ""
    for page in files(".md"):
        for match in re.finditer(r"`([a-z_/]*test_[a-z0-9_]+\.py)?(?:::([a-z0-9_]+))?`", text(page)):
            file = match[1] or file
            if any(match.groups()):
                found.append((file, match[2] or ""))
    return sorted(set(found))


@pytest.mark.parametrize(("file", "test"), named_tests())
def test_named_test_exists(file: str, test: str) -> None:
    places = [name for name in modules("tests") if name == file or name.endswith(f"/{file}")]
    assert places
    assert not test or any(f"def {test}(" in text(name) for name in places)


@pytest.mark.parametrize(("page", "limit"), LIMITS.items())
def test_front_page_stays_short(page: str, limit: int) -> None:
    assert len(text(page).splitlines()) <= limit


@pytest.mark.parametrize("page", files(".md"))
def test_links_of_a_page_lead_to_files(page: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text(page)):
        assert (ROOT / page).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("record", [name for name in files(".md") if re.match(r"docs/adr/\d{4}-", name)])
def test_decision_record_has_status_date_and_a_row_in_the_index(record: str) -> None:
    title, _, facts = text(record).splitlines()[:3]
    assert re.fullmatch(r"\*\*Status:\*\* (Accepted|Superseded by \d{4})\. \*\*Date:\*\* \d{4}-\d{2}-\d{2}\.", facts)
    file = record.rpartition("/")[2]
    assert f"| [{file[:4]}]({file}) | {title.removeprefix('# ')} |" in text("docs/adr/README.md")
