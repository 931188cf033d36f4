"""Each threat has a control with a living test, or says that it is open; each finding of the attack has a row."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.architecture.tree import text
from tools import threats
from tools.threats import FINDINGS, Row, faults, is_living

SCENARIOS, ROWS = threats.load()
THIS = "tests/architecture/test_threats.py"
SOUND = Row("phone", "She tries.", "It holds.", ["tools/threats.py"], [f"{THIS}::test_sound_row_has_no_fault"], 1)
# In this order, since a reader of the page comes for them.
SURVIVORS_FIRST = ["phone", "ex-partner", "officer", "funder", "passphrase", "operator", "flood"]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_row_names_its_control_and_a_living_test(row: Row) -> None:
    assert list(faults(row, SCENARIOS)) == []


@pytest.mark.parametrize("finding", FINDINGS)
def test_finding_has_a_row_or_is_open(finding: int) -> None:
    assert [row for row in ROWS if row.finding == finding]


def test_scenarios_of_survivors_come_first_and_have_rows() -> None:
    assert list(SCENARIOS)[: len(SURVIVORS_FIRST)] == SURVIVORS_FIRST
    assert {row.who for row in ROWS} == set(SCENARIOS)
    assert len({str(row) for row in ROWS}) == len(ROWS)


def test_page_is_what_the_data_says() -> None:
    assert text("docs/threats.md") == threats.page(SCENARIOS, ROWS), "docs/threats.md is stale; run: make threats"


def test_page_shows_every_open_row_as_open() -> None:
    rows = [replace(SOUND, open=True, test=(), control="")]
    assert "| She tries. | **Open.** | `tools/threats.py` |  | 1 |" in threats.page(SCENARIOS, rows)
    assert "Rows: 1. Open: 1." in threats.page(SCENARIOS, rows)
    assert text("docs/threats.md").count("**Open.**") == sum(row.open for row in ROWS)


def test_sound_row_has_no_fault() -> None:
    assert list(faults(SOUND, SCENARIOS)) == []
    assert list(faults(replace(SOUND, open=True, test=()), SCENARIOS)) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"who": "nobody"},
        {"control": ""},
        {"where": []},
        {"where": ["services/common/gone.py"]},
        {"where": ["services/common"]},
        {"test": []},
        {"test": [f"{THIS}::test_that_is_gone"]},
        {"test": ["tests/architecture/test_gone.py::test_sound_row_has_no_fault"]},
        {"finding": 0},
        {"finding": 18},
        {"open": True},
    ],
    ids=str,
)
def test_unsound_row_is_told(changed: dict[str, object]) -> None:
    assert len(list(faults(replace(SOUND, **changed), SCENARIOS))) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "living"),
    [
        ("def test_a() -> None: ...", True),
        ("@pytest.mark.parametrize('x', [1])\ndef test_a(x) -> None: ...", True),
        ("def test_b() -> None: ...", False),
        ("# def test_a() -> None: ...", False),
        ("@pytest.mark.skip\ndef test_a() -> None: ...", False),
        ("@pytest.mark.skipif(True, reason='')\ndef test_a() -> None: ...", False),
        ("@pytest.mark.xfail\ndef test_a() -> None: ...", False),
        ("def helper() -> None:\n    def test_a() -> None: ...", False),
        ("pytestmark = pytest.mark.skip\ndef test_a() -> None: ...", False),
        ("pytestmark = [pytest.mark.slow, pytest.mark.xfail]\ndef test_a() -> None: ...", False),
        ("pytest.importorskip('solver')\ndef test_a() -> None: ...", False),
        ("def test_a() -> None:\n    pytest.skip('later')", False),
        ("pytestmark = pytest.mark.slow\ndef test_a() -> None: ...", True),
        ("def test_b() -> None:\n    pytest.skip('later')\ndef test_a() -> None: ...", True),
    ],
)
def test_skipped_or_absent_test_is_not_living(
    source: str, living: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threats, "ROOT", tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(source)
    assert is_living("tests/test_it.py::test_a") is living
    assert not is_living("tests/test_it.py")


def test_unknown_member_of_a_row_is_refused(tmp_path: Path) -> None:
    (tmp_path / "threats.yaml").write_text("scenarios: {phone: A}\nrows: [{who: phone, what: B, tests: []}]\n")
    with pytest.raises(ValueError, match="B: no row has tests"):
        threats.load(tmp_path / "threats.yaml")


def test_check_names_a_stale_page_and_leaves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threats, "PAGE", tmp_path / "threats.md")
    (tmp_path / "threats.md").write_text("stale")
    checked = CliRunner().invoke(threats.main, ["--check"])
    assert (checked.exit_code, (tmp_path / "threats.md").read_text()) == (1, "stale")
    assert "make threats" in checked.stderr

    assert CliRunner().invoke(threats.main, []).exit_code == 0
    assert CliRunner().invoke(threats.main, ["--check"]).exit_code == 0


def test_unsound_data_writes_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threats, "load", lambda: (SCENARIOS, [replace(SOUND, where=["gone.py"])]))
    monkeypatch.setattr(threats, "PAGE", tmp_path / "threats.md")
    written = CliRunner().invoke(threats.main, [])
    assert (written.exit_code, (tmp_path / "threats.md").exists()) == (1, False)
    assert "there is no file gone.py" in written.stderr
