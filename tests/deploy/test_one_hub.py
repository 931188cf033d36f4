"""A data folder belongs to one hub: two would not see each other's locks, and a revoke could return too early."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from deploy.testing.ports import free_port
from services.common.settings import Settings
from tests.architecture.tree import ROOT
from tests.support.hubs import HubProcess, environment

CLI = [sys.executable, "-m", "services.cli"]

pytestmark = [pytest.mark.slow, pytest.mark.backend("sqlite", "local_log")]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubProcess]:
    port = free_port()
    url = f"http://127.0.0.1:{port}/consent/health/ready"
    settings = Settings(data=tmp_path / "data")
    process = HubProcess("hub", [*CLI, "up", "--port", str(port)], settings, tmp_path / "log", url)
    process.start()
    try:
        process.wait()
        yield process
    finally:
        process.stop()


@pytest.mark.parametrize(
    "command", [["up", "--port", "0"], ["serve", "consent", "api", "--port", "0"], ["serve", "consent", "worker"]]
)
def test_second_process_on_the_data_of_a_hub_is_refused(hub: HubProcess, command: list[str]) -> None:
    again = [*CLI, *command]
    told = subprocess.run(again, env=environment(hub.settings), capture_output=True, text=True, check=False, timeout=60)
    assert told.returncode == 1
    assert f"Another process runs on the data in {hub.settings.data}" in told.stderr
    assert "Traceback" not in told.stderr


def test_hub_names_a_damaged_key_and_does_not_start(hub: HubProcess) -> None:
    hub.stop()
    damaged = hub.settings.data / "keys" / "intake" / "token-key.json"
    damaged.write_bytes(b"")
    again = [*CLI, "up", "--port", "0"]
    told = subprocess.run(again, env=environment(hub.settings), capture_output=True, text=True, check=False, timeout=60)
    assert (told.returncode, "Traceback" in told.stderr) == (1, False)
    assert f"{damaged} cannot be read. It is damaged" in told.stderr


def test_cleaning_a_checkout_leaves_a_hubs_data_where_it_is() -> None:
    told = subprocess.run(["make", "--dry-run", "clean"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert str(Settings.model_fields["data"].default) not in told.stdout.split()


def test_killed_hub_releases_its_data(hub: HubProcess) -> None:
    hub.kill()
    hub.start()
    hub.wait()


def test_data_of_a_hub_is_readable_for_its_owner_only(hub: HubProcess) -> None:
    kept = [hub.settings.data, *hub.settings.data.rglob("*")]
    assert {"log.sqlite", "consent.sqlite-wal", "consent.sqlite-shm", "keys"} <= {path.name for path in kept}
    assert [path for path in kept if path.stat().st_mode & 0o077] == []


def test_command_beside_a_hub_uses_the_origin_of_that_hub(hub: HubProcess) -> None:
    variables = environment(hub.settings)
    subprocess.run([*CLI, "up", "--port", "0"], env=variables, capture_output=True, check=False, timeout=60)
    origin = str(hub.ready_url).removesuffix("/consent/health/ready")
    assert Settings(data=hub.settings.data).public_url == origin
    known = httpx2.get(f"{origin}/consent/v1/ledger/key").text
    told = subprocess.run([*CLI, "ledger", "key"], env=variables, capture_output=True, text=True, check=True)
    assert told.stdout == known
    assert known.startswith(f"{origin.removeprefix('http://')}/")
