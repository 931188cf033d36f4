"""`fireweed check`: offline, with the line of each fault, and an exit status for programs."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from services.cli import main
from services.intake.check import check_text
from tests.support.clocks import NOON
from tests.support.running_intake import capacity, event, referral

ME, OTHER = "agency-aaaaaaaaaa", "agency-bbbbbbbbbb"


def run(tmp_path: Path, content: str | bytes, *more: str) -> Result:
    file = tmp_path / "events.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = CliRunner().invoke(main, ["check", str(file), *more])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def faults(content: str | bytes, source: str | None = None) -> list[tuple[int, str]]:
    """Return line and member of each fault of a file."""
    raw = content if isinstance(content, bytes) else content.encode()
    return [(one.row, one.fault.member) for one in check_text(raw, source, NOON)[1]]


def good() -> dict[str, Any]:
    return event(ME, capacity())


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(good()),
        json.dumps(good(), indent=2),
        json.dumps([good(), good()], indent=2),
        "\n".join(json.dumps(good()) for _ in range(3)),
        "\ufeff" + json.dumps(event(ME, referral(OTHER))) + "\r\n\r\n",
    ],
    ids=["one", "indented", "array", "by-line", "mark"],
)
def test_file_of_valid_events_exits_with_0(tmp_path: Path, content: str) -> None:
    done = run(tmp_path, content)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.endswith(" events, 0 faults.\n")


def test_fault_is_told_with_the_place_of_its_member() -> None:
    wrong = good()
    wrong["data"] = {**wrong["data"], "need": "sleep"}
    text = json.dumps([good(), wrong], indent=1)
    [row] = [number for number, shown in enumerate(text.splitlines(), 1) if '"sleep"' in shown]
    assert faults(text) == [(row, "/data/need")]
    assert faults(f"{json.dumps(good())}\n{json.dumps(wrong)}\n") == [(2, "/data/need")]


def test_missing_member_is_told_with_the_place_around_it() -> None:
    wrong = good()
    del wrong["data"]["need"]
    text = json.dumps(wrong, indent=1)
    [row] = [number for number, shown in enumerate(text.splitlines(), 1) if '"data"' in shown]
    assert faults(text) == [(row, "/data/need")]


@pytest.mark.parametrize(
    ("content", "row"),
    [
        (b"", 1),
        (b" \n\n", 1),
        (b"[]", 1),
        (b'{"id":\n1,\n}', 3),
        (b"{}\n{}\nnope", 3),
        (b"[{}]\n[{}]", 2),
        (b"[" * 100_000, 1),
        (b'{"a":' * 20_000, 1),
        (b"\n\xff\xfe", 2),
        (b'{"a": NaN}', 1),
        (b'{"a": 1e999}', 1),
    ],
    ids=range(11),
)
def test_file_without_events_exits_with_1_and_a_place(tmp_path: Path, content: bytes, row: int) -> None:
    done = run(tmp_path, content, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["faults"][0]["line"] == row
    assert json.loads(done.stdout)["events"] == 0


def test_no_value_of_the_file_is_repeated(tmp_path: Path) -> None:
    canary = "Sample-Aspen-of-Sample-Street"
    wrong = event(ME, referral(OTHER, parts={"summary": {"text": canary, canary: canary}}), id=canary * 9)
    done = run(tmp_path, json.dumps(wrong))
    assert done.exit_code == 1
    assert canary not in done.output


def test_same_id_for_two_events_is_a_fault_and_repeats_are_none() -> None:
    first = good()
    assert faults(json.dumps([first, first])) == []
    second = {**good(), "id": first["id"], "data": {**first["data"], "available": 1}}
    assert faults(f"{json.dumps(first)}\n{json.dumps(second)}") == [(2, "/id")]


def test_member_given_twice_is_a_fault() -> None:
    text = json.dumps(good()).replace('"need":', '"need": "N01",\n"need":')
    assert (2, "/data/need") in faults(text)


def test_sources_must_be_one_and_the_one_that_was_named() -> None:
    text = f"{json.dumps(good())}\n{json.dumps(event(OTHER, capacity()))}"
    assert faults(text) == [(2, "/source")]
    assert faults(text, OTHER) == [(1, "/source")]


def test_many_events_are_checked_in_linear_time() -> None:
    rows = [json.dumps(good()) for _ in range(2000)]
    assert check_text("\n".join(rows).encode(), None, NOON) == (2000, [])
    assert check_text(f"[{','.join(rows)}]".encode(), None, NOON) == (2000, [])


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["check", str(tmp_path / "nowhere.json")])
    assert done.exit_code == 2
    assert "nowhere.json" in done.output
