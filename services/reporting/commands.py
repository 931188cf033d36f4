"""`fireweed publication`: what an operator does about publications."""

import click

from services.common.cli import answer, hub_options, progress
from services.common.settings import Settings
from services.reporting import handlers
from services.reporting.main import build_room
from services.reporting.publication_commands import COMMANDS


@click.group()
def publication() -> None:
    """Publications: protected, audited tables of how many survivors asked for what, and what came of it."""


@publication.command()
@hub_options
def rebuild(settings: Settings, as_json: bool) -> None:
    """Make everything that is counted anew from the journal; run it again to go on where it was interrupted."""
    room = build_room(settings)
    read = handlers.rebuild(room, progress("Threads read"))
    room.database.close()
    answer({"threads": read}, as_json, lambda: [f"{read} threads were counted anew."])


for command in COMMANDS:
    publication.add_command(command)
