"""Runs a real Apache Kafka on this machine: one node, loopback only, data in a folder that goes with it."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from deploy.testing.ports import free_port

HERE = Path(__file__).resolve().parent.parent / "kafka"
START_SECONDS = 60


class KafkaServer:
    """One broker. `kill` ends it as a power cut would; `start` starts it again with the same data and port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self._controller_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """Return the address to which clients connect, `host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """Return the folder of the broker's logs."""
        return self.folder / "data"

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Format a folder, start a broker in it, and return the broker."""
        made = cls(folder)
        folder.mkdir(parents=True, exist_ok=True)
        own = {
            "controller.quorum.voters": f"1@127.0.0.1:{made._controller_port}",
            "listeners": f"PLAINTEXT://{made.bootstrap},CONTROLLER://127.0.0.1:{made._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{made.bootstrap}",
            "log.dirs": str(made.data),
            # Tests that kill consumers again and again do not want to wait long for each to be missed.
            "group.min.session.timeout.ms": "1000",
        }
        lines = "".join(f"{name}={value}\n" for name, value in own.items())
        made._settings.write_text((HERE / "server.properties").read_text("utf-8") + lines, "utf-8")
        identity = made._java("kafka.tools.StorageTool", "random-uuid").stdout.split()[-1]
        made._java("kafka.tools.StorageTool", "format", "-t", identity, "-c", str(made._settings))
        made.start()
        return made

    def start(self) -> None:
        """Start and wait until the broker answers a request; raises `RuntimeError` if it does not."""
        command = [*_command("-Xmx512m", "-XX:TieredStopAtLevel=1"), "kafka.Kafka", str(self._settings)]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self._wait()

    def empty_topics(self) -> None:
        """Delete every topic and create those of the hub again."""
        from kafka import KafkaAdminClient  # noqa: PLC0415 - as below

        from services.common.messaging.kafka import KafkaBroker  # noqa: PLC0415 - as below

        with KafkaAdminClient(bootstrap_servers=self.bootstrap) as admin:
            old = [name for name in admin.list_topics() if not name.startswith("__")]
            if old:
                admin.delete_topics(old)
            while set(old) & set(admin.list_topics()):
                time.sleep(0.05)
        KafkaBroker(self.bootstrap).sync_topics()

    def kill(self) -> None:
        """Kill the broker without warning."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop the broker in order, and remove its folder."""
        self._end(signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _settings(self) -> Path:
        return self.folder / "server.properties"

    def _end(self, how: signal.Signals) -> None:
        if self._process and self._process.poll() is None:
            os.kill(self._process.pid, how)
            self._process.wait(30)

    def _java(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*_command(), *arguments], check=True, capture_output=True, text=True)

    def _wait(self) -> None:
        # Imported here: this module also serves machines that only start a broker. A listening port is not enough:
        # after a kill the old session has to lapse before requests are served.
        from services.common.messaging.broker import BrokerUnavailable  # noqa: PLC0415
        from services.common.messaging.kafka import KafkaBroker  # noqa: PLC0415

        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                KafkaBroker(self.bootstrap).sync_topics()
            except (OSError, BrokerUnavailable):
                time.sleep(0.2)
            else:
                return
        raise RuntimeError(f"Kafka did not start; see {self.folder / 'server.log'}")


def jars() -> Path:
    """Return the folder of Kafka's jars, which Maven fetches once to a cache outside the checkout."""
    recipe = HERE / "pom.xml"
    version = hashlib.sha256(recipe.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fireweed"
    folder = cache / f"kafka-{version}"
    if not folder.exists():
        draft = cache / f".kafka-{version}.{os.getpid()}"
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={draft}"]
        subprocess.run(["mvn", "-q", "-B", "-Dstyle.color=never", "-f", str(recipe), *goal], check=True)
        draft.rename(folder)
    return folder


def _command(*options: str) -> list[str]:
    log = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return ["java", *options, log, "-cp", f"{jars()}/*"]
