"""What an operator can set or watch is written down where an operator looks, and a test that a page names is there."""

import re

import pytest

from services.common import metrics
from services.common.settings import Settings
from tests.architecture.tree import calls, files, modules, parsed, text

SETTINGS = sorted(f"FIREWEED_{name.upper()}" for name in Settings.model_fields)
METRICS = sorted(re.findall(r'"(fireweed\.[a-z.]+)"', text("services/common/metrics.py")))
INSTRUMENTS = {
    "create_counter",
    "create_up_down_counter",
    "create_histogram",
    "create_gauge",
    "create_observable_gauge",
}


def rows(name: str) -> set[str]:
    """What stands, as code, in the first column of the tables of a page."""
    return {match[1] for match in re.finditer(r"^\| `([^`]+)`", text(name), re.MULTILINE)}


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_has_a_row_in_the_readme(setting: str) -> None:
    assert setting in rows("README.md")


def test_no_row_of_the_readme_is_for_a_setting_that_is_gone() -> None:
    assert {row for row in rows("README.md") if row.startswith("FIREWEED_")} == set(SETTINGS)


def test_no_page_or_file_of_deploy_names_a_setting_that_does_not_exist() -> None:
    for name in files(".md", ".yaml", ".yml", "Dockerfile", "Makefile", ".conf"):
        assert set(re.findall(r"\bFIREWEED_[A-Z_]*[A-Z]\b", text(name))) <= set(SETTINGS), name


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_says_what_it_is(setting: str) -> None:
    told = Settings.model_fields[setting.removeprefix("FIREWEED_").lower()].description
    assert told
    assert told.endswith(".")


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_has_a_row_in_the_operators_page(metric: str) -> None:
    assert metric in rows("deploy/README.md")


def test_no_row_is_for_a_metric_that_is_gone() -> None:
    assert {row for row in rows("deploy/README.md") if row.startswith("fireweed.")} == set(METRICS)


def test_every_metric_is_made_in_one_place_with_a_sentence() -> None:
    elsewhere = [name for name in modules("services") if name != "services/common/metrics.py"]
    for name in elsewhere:
        assert not {call.rpartition(".")[2] for call in calls(parsed(name))} & INSTRUMENTS, name
    made = [value for value in vars(metrics).values() if hasattr(value, "_description")]
    source = text("services/common/metrics.py")
    assert source.count("description=") == len(METRICS) == source.count("_meter.create_")
    assert len(made) in {0, len(METRICS)}


def named_tests() -> list[tuple[str, str]]:
    """Files of tests, and tests in them, that the pages name; `::name` alone is of the file named before it."""
    found, file = [], ""
    for page in files(".md"):
        for match in re.finditer(r"`([a-z_/]*test_[a-z_]+\.py)?(?:::([a-z_]+))?`", text(page)):
            file = match[1] or file
            if any(match.groups()):
                found.append((file, match[2] or ""))
    return sorted(set(found))


@pytest.mark.parametrize(("file", "test"), named_tests())
def test_every_test_that_a_page_names_is_there(file: str, test: str) -> None:
    places = [name for name in modules("tests") if name == file or name.endswith(f"/{file}")]
    assert places
    assert not test or any(f"def {test}(" in text(name) for name in places)
