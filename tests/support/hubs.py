"""Hubs for tests, both ways to run: embedded in this process, or distributed over real processes, Kafka and PostgreSQL."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from deploy.testing.kafka import KafkaServer
from deploy.testing.ports import free_port
from deploy.testing.postgresql import PostgresServer
from services import composition, hub
from services.client import Origins, Partner, Survivor, new_key, public_jwks
from services.common.http.server import BackgroundServer, listen, origin
from services.common.settings import Settings

T = TypeVar("T")
PATIENCE = 20.0
# Eight processes that start at once on two busy cores.
START_PATIENCE = 90.0
PREFIXES = {
    "intake": ["/intake"],
    "consent": ["/consent", "/my"],
    "referral": ["/referral"],
    "reporting": ["/reporting"],
}


@dataclass(slots=True)
class TestHub:
    """A running hub, whichever way it runs. `settings` are those with which `fireweed agency` reaches its database."""

    __test__ = False
    origins: Origins
    settings: Settings
    processes: dict[str, "HubProcess"] = field(default_factory=dict)
    clients: ExitStack = field(default_factory=ExitStack)

    def join(self, name: str, sector: str) -> Partner:
        """Take an agency in by the command line, and wait until every service knows it."""
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
        """Somebody at her own page."""
        survivor = Survivor(self.origins)
        self.clients.callback(survivor.close)
        return survivor

    def command(self, *arguments: str) -> str:
        """Run `fireweed` against this hub; its output."""
        command = [sys.executable, "-m", "services.cli", *arguments]
        done = subprocess.run(command, env=environment(self.settings), capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"fireweed {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout

    @contextmanager
    def another(self, name: str) -> Iterator[str]:
        """One more process of a distributed hub's API, behind the same public URL; where it is reached itself."""
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
        """Start; `wait` tells when it serves."""
        with self.log.open("ab") as log:
            variables = environment(self.settings) | dict(self.extra)
            self.popen = subprocess.Popen(self.command, env=variables, stdout=log, stderr=log)

    def wait(self) -> None:
        """Wait until it answers (a worker needs no waiting for: what it does is waited for instead)."""
        if self.ready_url:
            eventually(self._answers, START_PATIENCE)

    def kill(self) -> None:
        """End without warning."""
        if self.popen and self.popen.poll() is None:
            self.popen.send_signal(signal.SIGKILL)
            self.popen.wait(10)

    def stop(self) -> None:
        """End in good order."""
        self.tell_to_end()
        self.wait_for_end()

    def tell_to_end(self) -> None:
        """The first half of `stop`: several that end at once take no longer than one."""
        if self.popen and self.popen.poll() is None:
            self.popen.terminate()

    def wait_for_end(self) -> None:
        """The second half."""
        try:
            if self.popen:
                self.popen.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()

    def _answers(self) -> bool:
        if self.popen and self.popen.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.popen.returncode}; see {self.log}: {tail(self.log)}")
        try:
            return httpx2.get(str(self.ready_url), timeout=2).status_code == 200
        except httpx2.HTTPError:
            return False


@contextmanager
def embedded_hub(folder: Path, **settings: Any) -> Iterator[TestHub]:
    """A hub in this process, on SQLite and the local log."""
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
    """Eight processes on PostgreSQL and Kafka. `launcher` replaces `python -m services.cli`, for tests that crash it."""
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
    """The environment variables that make these settings."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FIREWEED_")}
    return kept | {f"FIREWEED_{name.upper()}": str(value) for name, value in given.items() if value is not None}


def eventually(look: Callable[[], T], seconds: float = PATIENCE) -> T:
    """What `look` finds, as soon as it finds something; fails when that takes too long."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come about within {seconds:.0f} s")
        time.sleep(0.02)
    return found


def tail(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-20:])
