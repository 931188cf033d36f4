"""The command line `fireweed`: commands that run processes and databases; other groups are loaded when asked for."""

import gc
import socket
import sys

import click

from services import composition, hub
from services.common import telemetry
from services.common.cli import PORT, Later, answer, hub_options, listener_on
from services.common.database.process_lock import hold
from services.common.http import health
from services.common.http.app import create_app
from services.common.http.server import BackgroundServer, ByPrefix, origin, run, server
from services.common.secret_files import own_file, own_folder
from services.common.service import Service
from services.common.settings import Settings
from services.common.worker import Worker
from services.composition import NAMES

LATER = {
    "agency": "services.intake.commands",
    "check": "services.intake.check",
    "demo": "services.demo",
    "doctor": "services.doctor",
    "grants": "services.consent.commands",
    "keys": "services.consent.commands",
    "ledger": "services.consent.commands",
    "parked": "services.parked",
    "publication": "services.reporting.commands",
}


@click.group(cls=Later, later=LATER, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fireweed")
def main() -> None:
    """Fireweed lets agencies help one person together while she decides who sees what.

    \b
    Begin with      fireweed demo        the whole journey, played before you
    then try        fireweed up          a hub of your own on this machine
                    fireweed agency add  let a partner in
    If unsure       fireweed doctor      what is well and what is not

    Settings are environment variables that start with FIREWEED_; docs/configuration.md lists them.
    """


@main.command()
@click.option("--port", default=8080, show_default=True, type=PORT, help="Port on this machine; 0 takes a free one.")
@hub_options
def up(settings: Settings, as_json: bool, port: int) -> None:  # noqa: ARG001 - click calls by name
    """Run the embedded hub: one process, its data in one folder."""
    listener = listener_on(port, "127.0.0.1")
    if "public_url" not in settings.model_fields_set:
        settings = settings.model_copy(update={"public_url": origin(listener)})

    def ready(url: str) -> None:
        own_folder(settings.data)
        own_file(settings.origin_file)
        settings.origin_file.write_text(url, "utf-8")
        click.echo(f"The hub is at {url} and keeps its data in {settings.data}. Ctrl-C ends it.", err=True)

    sys.exit(hub.run(settings, listener, ready))


@main.command()
@click.argument("service", type=click.Choice(NAMES))
@click.argument("role", type=click.Choice(composition.ROLES))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=PORT, help="Port to listen on: 8080 for an api; a worker answers only if there is one.")
@hub_options
def serve(settings: Settings, as_json: bool, service: str, role: str, host: str, port: int | None) -> None:  # noqa: ARG001
    """Run one process of a distributed hub. Start as many of each as you like.

    A worker with a port tells an orchestrator there how it is (/SERVICE/health/live and /ready), and nothing else.
    """
    telemetry.start(settings, f"{service}-{role}")
    made = composition.build_one(service, settings)
    if missing := composition.missing(made):
        lacking = ", ".join(step.rstrip(".") for step in missing)
        raise click.ClickException(f"The {service} database lacks: {lacking}. Run: fireweed migrate {service}")
    chosen = 8080 if port is None and role == "api" else port
    listener = None if chosen is None else listener_on(chosen, host)
    # Objects loaded now stay for good: to search them for garbage again and again would cost pauses and find nothing.
    gc.freeze()
    with hold(made.database, role):
        if listener is None or role == "worker":
            sys.exit(_work(made, settings, listener))
        _answer(made, listener)


@main.command()
@click.argument("services", nargs=-1, type=click.Choice(NAMES))
@hub_options
def migrate(settings: Settings, as_json: bool, services: tuple[str, ...]) -> None:
    """Bring the databases to the newest shape; safe to repeat."""
    taken = composition.migrate_all(settings, services or NAMES)
    answer(taken, as_json, lambda: [f"{name}: {', '.join(steps) or 'nothing to do'}" for name, steps in taken.items()])


@main.group()
def topics() -> None:
    """The topics of the bus."""


@topics.command()
@hub_options
def sync(settings: Settings, as_json: bool) -> None:
    """Make every topic of schemas/asyncapi.yaml exist."""
    done = dict(composition.broker(settings).sync_topics())
    answer(done, as_json, lambda: [f"{name}: {what}" for name, what in done.items()])


def _answer(service: Service, listener: socket.socket) -> None:
    """Run a service's API until it is stopped."""
    beside = Worker(service.api_loops)
    beside.start()
    apps = composition.public_apps([service])
    router = ByPrefix(apps | ({"/internal": service.inner_app} if service.inner_app else {}))
    run(server(router, service.settings.proxies), listener)
    beside.stop()


def _work(service: Service, settings: Settings, listener: socket.socket | None) -> int:
    """Run a service's worker and return the exit status; serve its health on the listener if there is one."""
    worker = Worker(service.worker_loops(composition.broker(settings)))
    if listener is None:
        return worker.run()
    routes = health.router(f"/{service.name}", service.database, ready=lambda: not worker.stopping.is_set())
    health_server = BackgroundServer(create_app(f"Fireweed {service.name} worker", "Health only.", [routes]), listener)
    health_server.start()
    try:
        return worker.run()
    finally:
        health_server.stop()


if __name__ == "__main__":
    main()
