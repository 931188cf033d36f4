"""`fireweed parked` lists the events that could not be handled and handles them again."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from services import composition
from services.common.cli import answer, hub_options, of_hub
from services.common.messaging.parking import Summary
from services.common.service import Service
from services.common.settings import Settings


@click.group()
def parked() -> None:
    """Events that could not be handled, with every later event of their key."""


@parked.command("list")
@click.argument("services", nargs=-1, type=click.Choice(composition.NAMES))
@hub_options
@of_hub(*composition.NAMES)
def list_(settings: Settings, as_json: bool, services: tuple[str, ...]) -> None:
    """List parked keys with what stopped them, of every service or of those you name."""
    found = _parked(settings, services or composition.NAMES)
    answer(found, as_json, lambda: [_as_row(item) for item in found] or ["Nothing is parked."])


@parked.command()
@click.argument("service", type=click.Choice(composition.NAMES))
@click.argument("key")
@hub_options
@of_hub(*composition.NAMES)
def release(settings: Settings, as_json: bool, service: str, key: str) -> None:
    """Handle a parked key's events again, in order. The status is 1 if one still fails; it and those behind it stay."""
    made = composition.build_one(service, settings)
    if not _of_key(made, key):
        raise click.ClickException(
            f"Nothing is parked in {service} under that key. `fireweed parked list` tells what is."
        )
    done = made.consumer(composition.broker(settings)).replay(key)
    left = _of_key(made, key)
    told = [f"Still waiting in {item.topic}: {item.events} ({item.reason})." for item in left]
    document = {"handled": done, "parked": [asdict(item) for item in left]}
    answer(document, as_json, lambda: [f"Events handled: {done}.", *told])
    sys.exit(1 if left else 0)


def _of_key(service: Service, key: str) -> list[Summary]:
    with service.database.reading() as connection:
        return [item for item in service.plumbing.parking.summary(connection) if item.key == key]


def _parked(settings: Settings, names: Sequence[str]) -> list[dict[str, Any]]:
    return [item for name in names for item in _parked_in(name, composition.build_one(name, settings))]


def _parked_in(name: str, service: Service) -> list[dict[str, Any]]:
    with service.database.reading() as connection:
        return [{"service": name, **asdict(item)} for item in service.plumbing.parking.summary(connection)]


def _as_row(item: dict[str, Any]) -> str:
    return f"{item['service']}  {item['key']}  {item['events']} events since {item['since']} ({item['reason']})"
