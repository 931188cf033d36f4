"""Hubs for tests: embedded in this process, or distributed over real processes, Kafka and PostgreSQL."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from deploy.testing.kafka import KafkaServer
from deploy.testing.ports import free_port
from deploy.testing.postgresql import PostgresServer
from services import composition, hub
from services.client import Origins, Partner, Survivor, new_key, public_jwks
from services.common.http.server import BackgroundServer, listen, origin
from services.common.settings import Settings

T = TypeVar("T")
# How long anything may take before it counts as lost: far more than it takes, since machines are busy.
TIMEOUT = 60.0
# Enough for eight processes that start at once on two busy cores.
START_TIMEOUT = 90.0
PREFIXES = {
    "intake": ["/intake"],
    "consent": ["/consent", "/my"],
    "referral": ["/referral"],
    "reporting": ["/reporting"],
}


@dataclass(slots=True)
class TestHub:
    """A running hub, embedded or distributed. `fireweed agency` reaches its database with `settings`."""

    __test__ = False
    origins: Origins
    settings: Settings
    processes: dict[str, "HubProcess"] = field(default_factory=dict)
    clients: ExitStack = field(default_factory=ExitStack)

    def join(self, name: str, sector: str) -> Partner:
        """Add an agency by the command line, wait until every service knows it, and return its client."""
        key = new_key()
        jwks = self.settings.data / f"{key.kid}.json"
        jwks.write_text(json.dumps(public_jwks(key)))
        added = json.loads(self.command("agency", "add", "--name", name, "--sector", sector, "--jwks", str(jwks)))
        partner = Partner.connect(self.origins, added["client_id"], key.as_dict(private=True))
        self.clients.callback(partner.close)
        eventually(lambda: partner.request("GET", "/referral/v1/inbox").status_code == 200)
        opening = {"envelope": "fw1.unknown"}
        eventually(lambda: partner.request("POST", "/consent/v1/openings", opening).status_code == 404)
        return partner

    def survivor(self) -> Survivor:
        """Return a client for the pages of a survivor."""
        survivor = Survivor(self.origins)
        self.clients.callback(survivor.close)
        return survivor

    def command(self, *arguments: str) -> str:
        """Run `fireweed` against this hub; return its output, raise `AssertionError` if it fails."""
        command = [sys.executable, "-m", "services.cli", *arguments]
        done = subprocess.run(command, env=environment(self.settings), capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"fireweed {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout

    @contextmanager
    def another(self, name: str) -> Iterator[str]:
        """Run one more API process of a distributed hub, behind the same public URL; yield the origin of that process."""
        first, port = self.processes[f"{name}-api"], str(free_port())
        command = [*first.command[:-1], port]
        ready = f"http://127.0.0.1:{port}/{name}/health/ready"
        log = first.log.with_name(f"{name}-api-{port}.log")
        one = HubProcess(f"{name}-{port}", command, first.settings, log, ready, first.extra)
        try:
            one.start()
            one.wait()
            yield f"http://127.0.0.1:{port}"
        finally:
            one.stop()


@dataclass(slots=True)
class HubProcess:
    """One process of a distributed hub, which can be killed and started again."""

    name: str
    command: list[str]
    settings: Settings
    log: Path
    ready_url: str | None
    extra: Mapping[str, str] = field(default_factory=dict)
    popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; `wait` returns when it serves."""
        with self.log.open("ab") as log:
            variables = environment(self.settings) | dict(self.extra)
            self.popen = subprocess.Popen(self.command, env=variables, stdout=log, stderr=log)

    def wait(self) -> None:
        """Wait until the process answers; return at once for a worker, whose effects a test awaits instead."""
        if self.ready_url:
            eventually(self._answers, START_TIMEOUT)

    def kill(self) -> None:
        """Kill the process (SIGKILL)."""
        if self.popen and self.popen.poll() is None:
            self.popen.send_signal(signal.SIGKILL)
            self.popen.wait(10)

    def stop(self) -> None:
        """Terminate the process and wait for its end."""
        self.tell_to_end()
        self.wait_for_end()

    def tell_to_end(self) -> None:
        """Send SIGTERM; the first half of `stop`, so that several processes can end at the same time."""
        if self.popen and self.popen.poll() is None:
            self.popen.terminate()

    def wait_for_end(self) -> None:
        """Wait for the end of the process, and kill it after 15 seconds."""
        try:
            if self.popen:
                self.popen.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()

    def _answers(self) -> bool:
        if self.popen and self.popen.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.popen.returncode}; see {self.log}: {tail(self.log)}")
        # Not by a client that reads the certificate authorities first: asked every few milliseconds, that takes a whole core.
        place = urlsplit(str(self.ready_url))
        with closing(HTTPConnection(place.netloc, timeout=2)) as connection:
            try:
                connection.request("GET", place.path)
                return connection.getresponse().status == HTTPStatus.OK
            except (OSError, HTTPException):
                return False


@contextmanager
def embedded_hub(folder: Path, **settings: Any) -> Iterator[TestHub]:
    """Run a hub in this process, on SQLite and the local log."""
    listener = listen(0)
    chosen = Settings(data=folder, public_url=origin(listener), **settings)
    running = hub.start(chosen)
    router = BackgroundServer(running.router, listener)
    router.start()
    made = TestHub(Origins(chosen.public_url), chosen)
    try:
        yield made
    finally:
        made.clients.close()
        router.stop()
        running.close()


@contextmanager
def distributed_hub(
    folder: Path,
    postgres: PostgresServer,
    kafka: KafkaServer,
    launcher: list[str] | None = None,
    extra: Callable[[str], Mapping[str, str]] = lambda _name: {},
    **settings: Any,
) -> Iterator[TestHub]:
    """Run eight processes on PostgreSQL and Kafka. `launcher` replaces `python -m services.cli`, for tests that crash it."""
    kafka.empty_topics()
    ports = {name: free_port() for name in composition.NAMES}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    common = {
        "data": folder,
        "database_url": postgres.recreate_services(),
        "kafka": kafka.bootstrap,
        "issuer": f"{urls['intake']}/intake",
        "consent_url": urls["consent"],
        **settings,
    }
    composition.migrate_all(Settings(**common))
    processes = {}
    for name in composition.NAMES:
        for role in ("api", "worker"):
            own = Settings(**{**common, "public_url": urls[name]})
            arguments = ["serve", name, role, *(["--port", str(ports[name])] if role == "api" else [])]
            command = [*(launcher or [sys.executable, "-m", "services.cli"]), *arguments]
            ready = f"{urls[name]}/{name}/health/ready" if role == "api" else None
            key = f"{name}-{role}"
            processes[key] = HubProcess(key, command, own, folder / f"{key}.log", ready, extra(key))
    made = TestHub(
        Origins(urls["intake"], {prefix: urls[name] for name, prefixes in PREFIXES.items() for prefix in prefixes}),
        Settings(**{**common, "public_url": urls["intake"]}),
        processes,
    )
    try:
        for process in processes.values():
            process.start()
        for process in processes.values():
            process.wait()
        yield made
    finally:
        made.clients.close()
        for process in processes.values():
            process.tell_to_end()
        for process in processes.values():
            process.wait_for_end()


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables that produce these settings."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FIREWEED_")}
    return kept | {f"FIREWEED_{name.upper()}": str(value) for name, value in given.items() if value is not None}


def eventually(probe: Callable[[], T], seconds: float = TIMEOUT) -> T:
    """Call `probe` until it returns a true value, and return that; raise `AssertionError` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come about within {seconds:.0f} s")
        time.sleep(0.02)
    return found


def tail(log: Path) -> str:
    """Return the last 20 lines of a log."""
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-20:])
