"""The command line rotates keys with progress, copies and verifies the ledger, and gives advice on failure."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import update

from services.cli import main
from services.common.database.advisory_locks import sole
from services.consent.models import grant_key
from tests.support.consent import House
from tests.support.hubs import environment


def run(house: House, *arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, list(arguments), env=environment(house.service.settings))
    return done.exit_code, done.stdout, done.stderr


def test_keys_rotate_reports_progress_and_result(own_house: House) -> None:
    agency = own_house.agency()
    name = own_house.allow(own_house.person(agency), agency)
    status, told, progress = run(own_house, "keys", "rotate", "--json")

    assert (status, json.loads(told)) == (0, {"number": 2, "rewrapped": 2, "destroyed": [1]})
    assert progress.splitlines() == ["1 of 2 keys are wrapped anew.", "2 of 2 keys are wrapped anew."]
    assert own_house.open(agency, own_house.envelope(name)).status_code == 200
    assert run(own_house, "keys", "rotate")[1] == "Key 3 wraps 2 keys. Destroyed: 2.\n"


def test_keys_rotate_stops_at_unopenable_live_key(own_house: House) -> None:
    agency = own_house.agency()
    own_house.allow(own_house.person(agency), agency)
    with own_house.context.database.transaction() as connection:
        connection.execute(update(grant_key).values(wrapped=bytes(40)))
    status, told, problem = run(own_house, "keys", "rotate", "--json")

    assert (status, told) == (1, "")
    assert "Nothing was destroyed." in problem
    assert 1 in own_house.context.keys.numbers()


@pytest.mark.parametrize("own_house", ["postgresql"], indirect=True)
def test_keys_rotate_fails_while_another_process_rotates(own_house: House) -> None:
    with sole(own_house.context.database, "consent key rotation") as alone:
        assert alone()
        status, _, problem = run(own_house, "keys", "rotate")

    assert status == 1
    assert "Another process is rotating" in problem
    assert run(own_house, "keys", "rotate")[0] == 0


def test_ledger_copy_without_checkpoint_copies_nothing(own_house: House, tmp_path: Path) -> None:
    status, told, problem = run(own_house, "ledger", "copy", str(tmp_path / "copy"))

    assert (status, told, (tmp_path / "copy").exists()) == (1, "", False)
    assert "No checkpoint is signed yet." in problem


@pytest.mark.parametrize("content", [b"[" * 100_000, b"not json", b"\xff"])
@pytest.mark.parametrize("option", ["--receipt", "--export"])
def test_ledger_verify_rejects_invalid_json(own_house: House, tmp_path: Path, option: str, content: bytes) -> None:
    (tmp_path / "shown.json").write_bytes(content)
    key = run(own_house, "ledger", "key")[1].strip()
    status, _, problem = run(own_house, "ledger", "verify", "--key", key, option, str(tmp_path / "shown.json"))

    assert status == 1
    assert "shown.json holds neither a receipt nor a copy." in problem
