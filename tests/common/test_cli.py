"""Answers and failures of every command, as text and as JSON."""

import json
import sqlite3
from datetime import UTC, datetime
from errno import ENOSPC
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from sqlalchemy.exc import OperationalError, ProgrammingError

from services.cli import main
from services.common.cli import PORT, answer, hub_options, listener_on, told
from services.common.errors import Fault, Problem, invalid
from services.common.messaging.broker import BrokerUnavailable
from services.common.settings import Settings

CANARY = "canary-secret"
CLEARED: dict[str, str | None] = {f"FIREWEED_{name.upper()}": None for name in Settings.model_fields}


def run(*arguments: str, error: Exception | None = None, **variables: str) -> Result:
    @click.command()
    @hub_options
    def command(settings: Settings, as_json: bool) -> None:
        if error:
            raise error
        document = {"data": settings.data, "at": datetime(2026, 1, 1, tzinfo=UTC), "nom": "Montréal"}
        answer(document, as_json, lambda: [f"data in {settings.data}", "Montréal"])

    return CliRunner().invoke(command, arguments, env=CLEARED | variables)


def test_answer_is_printed_as_text() -> None:
    assert run("--data", "elsewhere").output == "data in elsewhere\nMontréal\n"


def test_an_answer_is_json_on_request() -> None:
    document = json.loads(run("--data", "elsewhere", "--json").output)
    assert document == {"data": "elsewhere", "at": "2026-01-01 00:00:00+00:00", "nom": "Montréal"}


def test_the_folder_may_be_given_by_the_environment() -> None:
    assert run(FIREWEED_DATA="from-environment").output.startswith("data in from-environment\n")
    assert run("--data", "given", FIREWEED_DATA="from-environment").output.startswith("data in given\n")


def test_empty_answer_prints_nothing() -> None:
    @click.command()
    def silent() -> None:
        answer([], False, list)

    assert CliRunner().invoke(silent).output == ""


def full_disk() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(CANARY)
    error.sqlite_errorname = "SQLITE_FULL"
    return error


FAILURES: dict[str, tuple[Exception, str]] = {
    "a problem": (invalid(Fault("/a", "Wrong.", "right")), "/a: Wrong. Accepted: right."),
    "no database": (OperationalError("SELECT", {}, Exception(CANARY)), "The database cannot be used"),
    "full disk": (OperationalError("INSERT", {}, full_disk()), "The disk is full."),
    "no table": (ProgrammingError("SELECT", {}, Exception(CANARY)), "fireweed migrate"),
    "no bus": (BrokerUnavailable("KafkaTimeoutError"), "Check FIREWEED_KAFKA"),
    "full disk for a file": (OSError(ENOSPC, "No space left on device"), "The disk is full."),
    "no way to write": (
        PermissionError(13, "Permission denied", "/elsewhere"),
        "/elsewhere cannot be used (Permission",
    ),
}


@pytest.mark.parametrize(("error", "expected"), FAILURES.values(), ids=FAILURES)
def test_failure_is_reported_plainly(error: Exception, expected: str) -> None:
    result = run(error=error)
    assert result.exit_code == 1
    assert expected in result.output
    assert "Traceback" not in result.output
    assert CANARY not in result.output


def test_unusable_setting_is_named_without_its_value() -> None:
    result = run(FIREWEED_LOG_LEVEL=CANARY)
    assert result.exit_code == 1
    assert "FIREWEED_LOG_LEVEL" in result.output
    assert CANARY not in result.output
    assert "FIREWEED_PUBLIC_URL" in run(FIREWEED_PUBLIC_URL="http://hub.example").output


def test_data_folder_that_is_a_file_is_reported_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = CliRunner().invoke(main, ["agency", "list", "--data", str(tmp_path / "file")], env=CLEARED)
    assert (told.exit_code, "Traceback" in told.output) == (1, False)
    assert "cannot be used" in told.output
    assert "--data" in told.output


@pytest.mark.parametrize("port", ["-1", "65536", "99999999999"])
def test_a_port_that_cannot_be_is_refused_with_those_that_can(port: str) -> None:
    @click.command()
    @click.option("--port", type=PORT)
    def command(port: int) -> None:
        raise AssertionError(port)

    told = CliRunner().invoke(command, ["--port", port])
    assert told.exit_code == 2
    assert "0<=x<=65535" in told.output


def test_an_address_that_cannot_be_listened_on_is_named() -> None:
    with pytest.raises(click.ClickException, match=r"Port 0 of 192\.0\.2\.1 cannot be used .* with --host or --port"):
        listener_on(0, "192.0.2.1")


def test_unexpected_error_is_raised_unchanged() -> None:
    assert isinstance(run(error=LookupError()).exception, LookupError)
    assert isinstance(run(error=OSError("no file is named")).exception, OSError)


def problem(*faults: Fault, **more: Any) -> Problem:
    return Problem(400, "test", "Something needs changing.", faults, **more)


def test_problem_is_printed_with_every_fault_and_accepted_value() -> None:
    assert told(problem()) == "Something needs changing."
    assert told(problem(Fault("/a", "Wrong.", "right"), Fault("/b", "Missing."))).splitlines() == [
        "Something needs changing.",
        "  /a: Wrong. Accepted: right.",
        "  /b: Missing.",
    ]


def test_an_unknown_option_is_refused(tmp_path: Path) -> None:
    assert run("--folder", str(tmp_path)).exit_code == 2


OF_A_HUB = [
    "agency list",
    "agency suspend agency-zzzzzzzzzz",
    "doctor",
    "doctor intake",
    "parked list",
    "parked release intake key",
    "ledger key",
    "ledger copy {folder}/copy",
    "keys rotate",
    "grants end-all --yes",
    "publication list",
    "publication audit --draft",
    "publication publish",
]


@pytest.mark.parametrize("command", OF_A_HUB)
def test_folder_without_a_hub_is_told_and_stays_unwritten(tmp_path: Path, command: str) -> None:
    for data in (tmp_path / "new" / "data", tmp_path):
        arguments = [*command.format(folder=tmp_path).split(), "--data", str(data)]
        told = CliRunner().invoke(main, arguments, env=CLEARED)
        assert (told.exit_code, told.stdout) == (1, ""), told.exception
        assert f"There is no hub in {data}." in told.stderr
        assert "fireweed migrate" in told.stderr
        as_json = json.loads(CliRunner().invoke(main, [*arguments, "--json"], env=CLEARED).stderr)
        assert as_json["error"]["title"].startswith(f"There is no hub in {data}.")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [error for error, _ in FAILURES.values()], ids=FAILURES)
def test_failure_is_json_on_request(error: Exception) -> None:
    result = run("--json", error=error)
    told = json.loads(result.stderr)["error"]
    assert (result.exit_code, result.stdout) == (1, "")
    assert told["title"]
    if isinstance(error, Problem):
        assert told == error.as_json()


def test_unusable_setting_is_json_on_request() -> None:
    assert "FIREWEED_LOG_LEVEL" in json.loads(run("--json", FIREWEED_LOG_LEVEL=CANARY).stderr)["error"]["title"]


@pytest.mark.parametrize(
    "command",
    [
        "agency list --unknown",
        "agency add --name Sample",
        "agency add --name S --sector ngo --jwks nowhere.json",
        "agency suspend",
        "agency nothing",
        "nothing",
        "parked list nothing",
        "publication build",
        "publication audit",
        "ledger verify",
        "ledger verify --key nothing",
        "serve nothing api",
        "up --port 99999",
    ],
)
def test_usage_error_is_json_on_request(tmp_path: Path, command: str) -> None:
    told = CliRunner().invoke(main, [*command.split(), "--json"], env=CLEARED)
    plain = CliRunner().invoke(main, command.split(), env=CLEARED)
    error = json.loads(told.stderr)["error"]
    assert (told.exit_code, told.stdout) == (plain.exit_code, "")
    assert told.exit_code in {1, 2}
    assert error["title"] in plain.stderr
    assert "usage" in error or told.exit_code == 1


def test_answer_before_which_nobody_agrees_is_json_on_request(tmp_path: Path) -> None:
    arguments = ["grants", "end-all", "--json", "--data", str(tmp_path)]
    told = CliRunner().invoke(main, arguments, env=CLEARED, input="n\n")
    assert told.exit_code == 1
    assert json.loads(told.stderr)["error"]["title"] == "Aborted."


COMMANDS = [
    "agency list",
    "parked list",
    "keys rotate",
    "grants end-all --yes",
    "publication list",
    "migrate",
    "topics sync",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_damaged_database_file_is_reported_plainly(tmp_path: Path, command: str) -> None:
    for name in ("intake", "consent", "referral", "reporting", "log"):
        (tmp_path / f"{name}.sqlite").write_bytes(b"damaged " * 1024)
    told = CliRunner().invoke(main, [*command.split(), "--data", str(tmp_path)], env=CLEARED)
    assert (told.exit_code, isinstance(told.exception, SystemExit)) == (1, True), told.exception
    assert "A database file cannot be read." in told.output


PUBLIC_ONLY = b'{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}'
KEY_FILES = [
    ("agency list", "intake/token-key.json", b""),
    ("agency list", "intake/token-key.json", b"{}"),
    ("agency list", "intake/token-key.json", PUBLIC_ONLY),
    ("agency list", "intake/digest.key", b""),
    ("ledger key", "consent/ledger.key", b"short"),
    ("ledger key", "consent/ledger.name", b""),
    ("ledger key", "consent/ledger.name", b"\xff"),
    ("keys rotate", "consent/pepper.key", b""),
    ("keys rotate", "consent/signing.jwk", b"[]"),
]


@pytest.mark.parametrize(("command", "file", "content"), KEY_FILES)
def test_damaged_key_file_is_named_and_not_used(tmp_path: Path, command: str, file: str, content: bytes) -> None:
    for first in ("migrate", "agency list", "ledger key"):
        assert CliRunner().invoke(main, [*first.split(), "--data", str(tmp_path)], env=CLEARED).exit_code == 0
    (tmp_path / "keys" / file).write_bytes(content)
    told = CliRunner().invoke(main, [*command.split(), "--data", str(tmp_path)], env=CLEARED)
    assert (told.exit_code, isinstance(told.exception, SystemExit)) == (1, True), told.exception
    assert f"{tmp_path / 'keys' / file} cannot be read. It is damaged" in told.output


def test_a_database_of_a_newer_version_is_told_of_and_left_alone(tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["migrate", "--data", str(tmp_path)], env=CLEARED).exit_code == 0
    with sqlite3.connect(tmp_path / "referral.sqlite") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    for command in ("migrate", "serve referral api --port 0"):
        told = CliRunner().invoke(main, [*command.split(), "--data", str(tmp_path)], env=CLEARED)
        assert (told.exit_code, isinstance(told.exception, SystemExit)) == (1, True), told.exception
        assert "The referral database was made by a newer version. Run that version" in told.output
    told = CliRunner().invoke(main, ["doctor", "--json", "--data", str(tmp_path)], env=CLEARED)
    ill = [item["what"] for item in json.loads(told.stdout) if not item["well"]]
    assert "this version knows the shape of the referral database" in ill


def test_the_doctor_names_each_file_that_is_damaged_and_goes_on(tmp_path: Path) -> None:
    for first in ("migrate", "agency list", "ledger key"):
        assert CliRunner().invoke(main, [*first.split(), "--data", str(tmp_path)], env=CLEARED).exit_code == 0
    for name in ("intake", "log"):
        (tmp_path / f"{name}.sqlite").write_bytes(b"damaged " * 1024)
    damaged = tmp_path / "keys" / "consent" / "ledger.key"
    damaged.write_bytes(b"")
    told = CliRunner().invoke(main, ["doctor", "--json", "--data", str(tmp_path)], env=CLEARED)

    ill = {item["what"]: item["next"] for item in json.loads(told.stdout) if not item["well"]}
    assert list(ill) == ["the intake database answers", f"consent can read {damaged}", f"the bus in {tmp_path} answers"]
    assert all("bring its" in advice for advice in ill.values())
