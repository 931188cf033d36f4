"""The embedded hub: all four services in one process, one origin, SQLite files and a local log."""

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_network

import uvicorn

from services import composition
from services.common import telemetry
from services.common.database.process_lock import hold
from services.common.http import server as http_server
from services.common.http.server import BackgroundServer, ByPrefix, listen, origin, server
from services.common.messaging.broker import Broker
from services.common.messaging.local_log import LocalLog
from services.common.service import Service
from services.common.settings import LOOPBACK, Settings
from services.common.worker import Loop, Worker, every


@dataclass(slots=True)
class Hub:
    """A hub with running relays and consumers; its starter serves `router` on a socket."""

    router: ByPrefix
    services: list[Service]
    worker: Worker
    inner: BackgroundServer
    held: ExitStack

    def close(self) -> None:
        """Stop the loops and the internal server, and close the files."""
        self.worker.stop()
        self.inner.stop()
        for service in self.services:
            service.close()
        self.held.close()


def start(settings: Settings) -> Hub:
    """Migrate, start the internal server, then relays and consumers.

    Intake calls consent over HTTP here too, on an internal server with its own threads: through the public one, forty posts
    at once would wait for a forty-first thread.
    """
    listener, inner_apps = listen(0), ByPrefix({})
    services = composition.build_all(settings, origin(listener))
    held = _hold(services)
    for service in services:
        composition.migrate(service)
        if service.inner_app:
            inner_apps.add("/internal", service.inner_app)
    # Each caller is this process.
    inner = BackgroundServer(inner_apps, listener, [ip_network(f"{LOOPBACK[0]}/8", strict=False)])
    inner.start()
    worker = Worker(_loops(services, composition.broker(settings)))
    worker.start()
    router = ByPrefix(composition.public_apps(services))
    return Hub(router, services, worker, inner, held)


def run(settings: Settings, listener: socket.socket, ready: Callable[[str], None]) -> int:
    """Run a hub until it is told to stop; `ready` is called with its address. Return the exit status."""
    telemetry.start(settings, "hub")
    hub = start(settings)
    router = server(hub.router, settings.proxies)
    # A loop that fails also stops the server: a hub that accepts events but moves none would look healthy.
    threading.Thread(target=_close_on_failure, args=(hub, router), daemon=True).start()
    ready(settings.public_url)
    try:
        http_server.run(router, listener)
    finally:
        hub.close()
    return 1 if hub.worker.failed else 0


def _hold(services: list[Service]) -> ExitStack:
    """Hold every role of these services on their files, so that no other process has one; raises a problem."""
    with ExitStack() as held:
        for service in services:
            for role in composition.ROLES:
                held.enter_context(hold(service.database, role))
        return held.pop_all()


def _close_on_failure(hub: Hub, router: uvicorn.Server) -> None:
    hub.worker.stopping.wait()
    router.should_exit = True


def _loops(services: list[Service], broker: Broker) -> dict[str, Loop]:
    loops: dict[str, Loop] = {}
    for service in services:
        loops |= service.worker_loops(broker)
    if isinstance(broker, LocalLog):
        loops["log pruning"] = every(3600.0, broker.prune)
    return loops
