"""Each example program reports a missing file or an absent hub in one row that says what to do."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.client import new_key
from tests.schemas.contract import FOLDER

EXAMPLES = FOLDER.parent / "examples"
ROWS = str(EXAMPLES / "data" / "toronto-shelter-capacity-2023-01-01.csv")
# Nobody listens there.
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def key(tmp_path: Path) -> dict[str, Any]:
    made: dict[str, Any] = new_key().as_dict(private=True)
    (tmp_path / "key.json").write_text(json.dumps(made))
    return made


def told(folder: Path, script: str, *arguments: str) -> str:
    """Return the one row with which a program ends."""
    command = [sys.executable, str(EXAMPLES / script), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert (ran.returncode, ran.stdout) == (1, "")
    [line] = ran.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("hub", "key_file", "file", "line"),
    [
        (NOWHERE, "none.json", ROWS, "none.json cannot be read (No such file or directory). Name the file with your"),
        (
            NOWHERE,
            ROWS,
            ROWS,
            "holds no private key (JWK). Name the file with your private key; `python examples/join.py",
        ),
        (NOWHERE, "public.json", ROWS, "public.json holds no private key (JWK)."),
        (
            NOWHERE,
            "key.json",
            "none.csv",
            "none.csv cannot be read (No such file or directory). Name the city's CSV file",
        ),
        (
            NOWHERE,
            "key.json",
            ROWS,
            f"{NOWHERE} cannot be reached (ConnectError). Is it the hub's address, and does the",
        ),
        ("127.0.0.1:8080", "key.json", ROWS, "127.0.0.1:8080 cannot be reached (UnsupportedProtocol). Is it the hub's"),
        ("http://[::1", "key.json", ROWS, "http://[::1 cannot be reached (InvalidURL). Is it the hub's address"),
    ],
)
def test_the_connector_says_what_to_do(
    tmp_path: Path, key: dict[str, Any], hub: str, key_file: str, file: str, line: str
) -> None:
    public = {name: value for name, value in key.items() if name != "d"}
    (tmp_path / "public.json").write_text(json.dumps(public))
    assert line in told(tmp_path, "toronto_shelters.py", hub, "agency-abcdefghij", key_file, file)


def test_a_key_that_cannot_be_written_is_told_so(tmp_path: Path) -> None:
    line = told(tmp_path, "join.py", "nowhere/key.json")
    assert (
        line == "nowhere/key.json cannot be written (No such file or directory). Name a new file in a folder of yours."
    )


def test_the_cohort_says_what_to_do(tmp_path: Path, key: dict[str, Any]) -> None:
    known = [{"client_id": name, "sector": "ngo", "region": "toronto", "key": key} for name in ("agency-a", "agency-b")]
    credentials = tmp_path / "agencies.jsonl"
    credentials.write_text("".join(json.dumps(one) + "\n" for one in known))
    line = told(tmp_path, "cohort.py", NOWHERE, str(tmp_path))
    assert line.startswith(
        f"Stopped after 0 people: {NOWHERE} cannot be reached (ConnectError). Is it the hub's address"
    )

    public = {**known[0], "key": {name: value for name, value in key.items() if name != "d"}}
    for wrong in (
        json.dumps(public),
        "{}",
        "none",
        '{"client_id": 1, "sector": "ngo", "region": "toronto", "key": {}}',
    ):
        credentials.write_text(wrong + "\n")
        line = told(tmp_path, "cohort.py", NOWHERE, str(tmp_path))
        assert line == f"{credentials} holds a line that is no agency with its key. examples/README.md shows one."
