"""Processes behave as the manifests assume: migrating needs no keys, and a worker reports its health."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from deploy.testing.ports import free_port
from services import composition
from services.common.settings import Settings
from tests.support.hubs import HubProcess, environment, eventually

CLI = [sys.executable, "-m", "services.cli"]

pytestmark = [pytest.mark.slow, pytest.mark.backend("sqlite", "local_log")]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    chosen = Settings(data=tmp_path / "data", keys=tmp_path / "keys")
    composition.migrate_all(chosen)
    return chosen


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[HubProcess]:
    port = free_port()
    command = [*CLI, "serve", "reporting", "worker", "--port", str(port)]
    url = f"http://127.0.0.1:{port}/reporting/health/ready"
    process = HubProcess("reporting-worker", command, settings, tmp_path / "log", url)
    process.start()
    process.wait()
    yield process
    process.stop()


def test_migrating_makes_no_key(settings: Settings) -> None:
    assert settings.keys
    assert not settings.keys.exists()
    assert (settings.data / "consent.sqlite").exists()


def test_doctor_checks_one_service_without_the_others(settings: Settings) -> None:
    """A container of one service has one database and the keys of one service."""
    for name in ("intake", "consent", "reporting"):
        (settings.data / f"{name}.sqlite").unlink()
    told = subprocess.run(
        [*CLI, "doctor", "referral", "--json"], env=environment(settings), capture_output=True, text=True, check=False
    )
    seen = " ".join(finding["what"] for finding in json.loads(told.stdout))
    assert "the referral database has its newest shape" in seen
    assert not [name for name in ("intake", "consent", "reporting") if name in seen]
    assert settings.keys
    assert not settings.keys.exists()


LOADED = """
import sys
from services import cli, composition
from services.common.settings import Settings
composition.build_one(sys.argv[1], Settings()).close()
print(*sorted({name.split(".")[1] for name in sys.modules if name.startswith("services.")} & {*composition.NAMES}))
"""


@pytest.mark.parametrize("name", composition.NAMES)
def test_a_process_of_one_service_holds_no_code_of_another(settings: Settings, name: str) -> None:
    command = [sys.executable, "-c", LOADED, name]
    told = subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=False)
    assert (told.stdout, told.stderr) == (f"{name}\n", "")


def test_worker_serves_only_liveness_and_readiness(worker: HubProcess) -> None:
    base = str(worker.ready_url).removesuffix("/reporting/health/ready")
    assert httpx2.get(str(worker.ready_url)).json() == {"status": "ready"}
    assert httpx2.get(f"{base}/reporting/health/live").json() == {"status": "live"}
    assert httpx2.get(f"{base}/reporting/v1/capacity").status_code == 404


def test_worker_ends_in_order_on_a_signal(worker: HubProcess) -> None:
    assert worker.popen
    worker.popen.terminate()
    assert worker.popen.wait(20) == 0


def test_a_worker_without_a_port_listens_nowhere(settings: Settings, tmp_path: Path) -> None:
    process = HubProcess("w", [*CLI, "serve", "reporting", "worker"], settings, tmp_path / "log", None)
    process.start()
    assert process.popen
    try:
        eventually((settings.data / "log.sqlite").exists)
        sockets = Path(f"/proc/{process.popen.pid}/net/tcp").read_text()
        mine = set(_links(Path(f"/proc/{process.popen.pid}/fd")))
        listening = [line.split()[9] for line in sockets.splitlines()[1:] if line.split()[3] == "0A"]
        assert not {f"socket:[{inode}]" for inode in listening} & mine
    finally:
        process.stop()


def _links(folder: Path) -> Iterator[str]:
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # closed while we looked
            yield str(path.readlink())


def test_taken_port_is_reported_in_a_sentence(settings: Settings, worker: HubProcess) -> None:
    port = str(httpx2.URL(str(worker.ready_url)).port)
    told = subprocess.run(
        [*CLI, "serve", "reporting", "worker", "--port", port, "--data", str(settings.data)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1
    assert f"Port {port} cannot be used" in told.stderr
    assert "Traceback" not in told.stderr
