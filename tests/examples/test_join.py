"""A partner makes a key with one command, which prints only the public half."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from services.client import Partner
from tests.schemas.contract import FOLDER
from tests.support.hubs import embedded_hub, eventually

SCRIPT = FOLDER.parent / "examples" / "join.py"


def join(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), str(path)], capture_output=True, text=True, check=False)


def test_public_key_is_printed_and_private_key_is_for_its_owner(tmp_path: Path) -> None:
    made = join(tmp_path / "key.json")
    assert made.returncode == 0, made.stderr
    private = json.loads((tmp_path / "key.json").read_text())
    [public] = json.loads(made.stdout)["keys"]
    assert "d" in private
    assert "d" not in public
    assert public["x"] == private["x"]
    assert stat.S_IMODE((tmp_path / "key.json").stat().st_mode) == 0o600


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    join(tmp_path / "key.json")
    before = (tmp_path / "key.json").read_bytes()
    again = join(tmp_path / "key.json")
    assert again.returncode == 1
    assert again.stdout == ""
    assert (tmp_path / "key.json").read_bytes() == before


@pytest.mark.parametrize(("argument", "status"), [("--help", 0), ("--key", 2)])
def test_option_is_refused_as_a_key_file(tmp_path: Path, argument: str, status: int) -> None:
    told = subprocess.run(
        [sys.executable, str(SCRIPT), argument], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert told.returncode == status
    assert "usage: join.py" in told.stdout + told.stderr
    assert "keys" not in told.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.backend("sqlite", "local_log")
def test_hub_accepts_the_printed_key_and_the_kept_key_signs(tmp_path: Path) -> None:
    public = tmp_path / "public.json"
    public.write_text(join(tmp_path / "key.json").stdout)
    with embedded_hub(tmp_path / "hub") as hub:
        added = hub.command("agency", "add", "--name", "Example", "--sector", "ngo", "--jwks", str(public))
        key = json.loads((tmp_path / "key.json").read_text())
        partner = Partner.connect(hub.origins, json.loads(added)["client_id"], key)
        eventually(lambda: partner.request("GET", "/referral/v1/inbox").status_code == 200)
        partner.close()
