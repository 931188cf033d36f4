"""The commands of `fireweed agency`: JSON for programs, and errors that say what to do."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from joserfc.jwk import ECKey

from services.cli import main
from services.client import new_key, public_jwks
from services.common.database.migrations import upgrade
from services.common.settings import Settings
from services.intake import main as intake

# Whatever a developer has set for a hub of her own.
ENVIRONMENT: dict[str, str | None] = {name: None for name in os.environ if name.startswith("FIREWEED_")}
pytestmark = pytest.mark.backend("sqlite")


@dataclass(frozen=True, slots=True)
class Terminal:
    """An operator's terminal; every command gets the folder of the hub's data."""

    data: Path

    def run(self, arguments: Sequence[str], data: Path | None, variables: Mapping[str, str]) -> Result:
        """Run a command in this process, since a new one takes a second to start."""
        return CliRunner().invoke(main, self.command(*arguments, data=data), env={**ENVIRONMENT, **variables})

    def run_in_process(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a process of its own, as an operator does."""
        command = [sys.executable, "-m", "services.cli", *self.command(*arguments)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FIREWEED_")}
        return subprocess.run(command, env=kept, capture_output=True, text=True, check=False)

    def command(self, *arguments: str, data: Path | None = None) -> list[str]:
        return ["agency", *arguments, "--data", str(data or self.data)]

    def succeeds(self, *arguments: str, **variables: str) -> str:
        done = self.run(arguments, None, variables)
        assert (done.exit_code, done.stderr) == (0, "")
        return done.stdout

    def fails(self, *arguments: str, data: Path | None = None, variables: Mapping[str, str] | None = None) -> str:
        """Check that a command fails without a traceback; return its stderr."""
        done = self.run(arguments, data, variables or {})
        assert done.exit_code != 0
        assert isinstance(done.exception, SystemExit), "it would have printed a traceback"
        assert done.stdout == ""
        return done.stderr

    def file(self, content: object) -> str:
        path = self.data / "keys.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return str(path)

    def add(self, name: str = "Maison Échantillon", sector: str = "housing", *more: str) -> dict[str, Any]:
        keys = self.file(public_jwks(new_key()))
        arguments = ["add", "--name", name, "--sector", sector, "--jwks", keys, *more]
        added: dict[str, Any] = json.loads(self.succeeds(*arguments))
        return added

    def listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.succeeds("list", "--json"))
        return found


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    service = intake.build(Settings(data=tmp_path), "http://127.0.0.1:1")
    upgrade(intake.NAME, service.database)
    service.close()
    return Terminal(tmp_path)


def test_adding_prints_what_the_partner_needs_as_json(terminal: Terminal) -> None:
    added = terminal.add()
    assert added.pop("client_id") == added["source"]
    assert added.pop("source").startswith("agency-")
    assert added == {
        "name": "Maison Échantillon",
        "sector": "housing",
        "standing": "active",
        "issuer": "http://127.0.0.1:8080/intake",
        "token_endpoint": "http://127.0.0.1:8080/intake/oauth/token",
    }


def test_adding_names_the_hubs_public_address(terminal: Terminal) -> None:
    keys = terminal.file(public_jwks(new_key()))
    arguments = ("add", "--name", "Sample", "--sector", "ngo", "--jwks", keys)
    printed = terminal.succeeds(*arguments, FIREWEED_PUBLIC_URL="https://hub.example")
    assert json.loads(printed)["token_endpoint"] == "https://hub.example/intake/oauth/token"


def test_an_agency_is_listed_suspended_and_restored(terminal: Terminal) -> None:
    agency = terminal.add()["client_id"]
    assert [(row["client_id"], row["standing"]) for row in terminal.listed()] == [(agency, "active")]

    assert terminal.succeeds("suspend", agency) == "Maison Échantillon is suspended.\n"
    assert [row["standing"] for row in terminal.listed()] == ["suspended"]
    line = terminal.succeeds("list")
    assert line.split() == [agency, "suspended", "housing", "Maison", "Échantillon"]

    assert json.loads(terminal.succeeds("restore", agency, "--json"))["standing"] == "active"
    assert [row["standing"] for row in terminal.listed()] == ["active"]


@pytest.mark.slow
def test_commands_work_in_processes_of_their_own(terminal: Terminal) -> None:
    keys = terminal.file(public_jwks(new_key()))
    added = terminal.run_in_process("add", "--name", "Maison Échantillon", "--sector", "housing", "--jwks", keys)
    assert (added.returncode, added.stderr) == (0, "")
    agency = json.loads(added.stdout)["client_id"]
    assert terminal.run_in_process("suspend", agency).stdout == "Maison Échantillon is suspended.\n"
    assert json.loads(terminal.run_in_process("list", "--json").stdout) == [
        {
            "client_id": agency,
            "source": agency,
            "name": "Maison Échantillon",
            "sector": "housing",
            "standing": "suspended",
        }
    ]
    refused = terminal.run_in_process("restore", "agency-zzzzzzzzzz")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: No agency has this client id.")


def test_a_hub_without_agencies_lists_none(terminal: Terminal) -> None:
    assert terminal.listed() == []
    assert terminal.succeeds("list") == ""


def test_alike_name_is_refused_unless_forced(terminal: Terminal) -> None:
    terminal.add("Silver Maple House")
    keys = terminal.file(public_jwks(new_key()))
    told = terminal.fails("add", "--name", "SILVER MAPLE H0USE", "--sector", "ngo", "--jwks", keys)
    assert "Another agency has a name that looks like this one." in told
    assert "--force" in told
    assert terminal.add("SILVER MAPLE H0USE", "ngo", "--force")["name"] == "SILVER MAPLE H0USE"


def test_known_key_is_refused_even_if_forced(terminal: Terminal) -> None:
    terminal.add()
    arguments = ("add", "--name", "Other", "--sector", "ngo", "--jwks", str(terminal.data / "keys.json"), "--force")
    assert "Another agency already has this key." in terminal.fails(*arguments)
    assert len(terminal.listed()) == 1


def test_unknown_agency_is_reported_with_the_list_command(terminal: Terminal) -> None:
    for act in ("suspend", "restore"):
        assert "`fireweed agency list`" in terminal.fails(act, "agency-zzzzzzzzzz")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"not json", "The file is not JSON"),
        (b"\xff\xfe", "The file is not JSON"),
        (b"[" * 100_000, "The file is not JSON"),
        ([], '{"keys": [...]}'),
        ({"keys": []}, '{"keys": [...]}'),
        ({"keys": [{"kty": "oct", "k": "c2VjcmV0LXNhbXBsZS1zZWNyZXQ"}]}, "a public JWK"),
        ({"keys": [ECKey.generate_key("P-256").as_dict(private=True)]}, "a public JWK"),
        ({"keys": [ECKey.generate_key("P-256").as_dict(private=False)] * 2}, "a different kid for each key"),
    ],
    ids=range(8),
)
def test_keys_that_cannot_be_used_are_refused_with_what_would_be(
    terminal: Terminal, content: object, said: str
) -> None:
    told = terminal.fails("add", "--name", "Sample", "--sector", "ngo", "--jwks", terminal.file(content))
    assert said in told
    assert "c2VjcmV0" not in told
    assert terminal.listed() == []


def test_unknown_sector_is_refused_with_the_codes(terminal: Terminal) -> None:
    keys = terminal.file(public_jwks(new_key()))
    told = terminal.fails("add", "--name", "Sample", "--sector", "shelter", "--jwks", keys)
    assert "mental_health" in told
    assert "housing" in told


def test_a_file_of_keys_that_is_not_there_is_named(terminal: Terminal) -> None:
    told = terminal.fails("add", "--name", "Sample", "--sector", "ngo", "--jwks", "nowhere.json")
    assert "nowhere.json" in told


def test_a_folder_without_a_hub_says_how_to_begin(terminal: Terminal, tmp_path: Path) -> None:
    assert "fireweed migrate" in terminal.fails("list", data=tmp_path / "new")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"FIREWEED_PUBLIC_URL": "http://hub.example"}, "must be https://"),
        ({"FIREWEED_RELAY_INTERVAL": "-1"}, "FIREWEED_RELAY_INTERVAL"),
        ({"FIREWEED_LOG_LEVEL": "loud"}, "FIREWEED_LOG_LEVEL"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(terminal: Terminal, variables: dict[str, str], said: str) -> None:
    assert said in terminal.fails("list", variables=variables)


def test_no_private_key_is_printed_or_readable_by_others(terminal: Terminal) -> None:
    terminal.add()
    files = [path for path in (terminal.data / "keys").rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if path.stat().st_mode & 0o077] == []
