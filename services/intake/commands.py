"""Commands about agencies: `fireweed agency add|list|suspend|restore`. The work is done in `handlers`."""

import json
from typing import Any, TextIO

import click

from services.common.cli import answer, hub_options, of_hub
from services.common.clock import SystemClock
from services.common.errors import Fault, invalid
from services.common.settings import Settings
from services.intake import handlers
from services.intake.context import Context
from services.intake.main import NAME, build_context


@click.group()
def agency() -> None:
    """Take partner organisations in, list them, suspend them."""


@agency.command()
@click.option("--name", required=True, help="The organisation's public name, as survivors will read it.")
@click.option("--sector", required=True, help="A code of schemas/codes/sectors.json, such as housing or health.")
@click.option("--jwks", required=True, type=click.File("r"), help="File with the partner's public keys (a JWK set).")
@click.option("--force", is_flag=True, help="Take a name that looks like another agency's. A key is never shared.")
@hub_options
@of_hub(NAME)
def add(settings: Settings, as_json: bool, name: str, sector: str, jwks: TextIO, force: bool) -> None:  # noqa: ARG001
    """Take an agency in. Prints JSON with its client id, which is also the `source` of its events."""
    try:
        keys = json.load(jwks)
    except (ValueError, RecursionError) as error:
        raise invalid(Fault("--jwks", "The file is not JSON.", '{"keys": [...]}')) from error
    row = handlers.add_agency(_context(settings), name, sector, keys, force=force)
    told = {**_told(row), "issuer": settings.token_issuer, "token_endpoint": f"{settings.token_issuer}/oauth/token"}
    answer(told, True, list)


@agency.command("list")
@hub_options
@of_hub(NAME)
def list_(settings: Settings, as_json: bool) -> None:
    """List every agency."""
    rows = [_told(row) for row in handlers.list_agencies(_context(settings))]
    answer(
        rows,
        as_json,
        lambda: [f"{row['client_id']}  {row['standing']:9} {row['sector']:18} {row['name']}" for row in rows],
    )


@agency.command()
@click.argument("client_id")
@hub_options
@of_hub(NAME)
def suspend(settings: Settings, as_json: bool, client_id: str) -> None:
    """Stop an agency from acting and receiving, at once; its grants stay and wait."""
    row = handlers.set_standing(_context(settings), client_id, "suspended")
    answer(_told(row), as_json, lambda: [f"{row.name} is suspended."])


@agency.command()
@click.argument("client_id")
@hub_options
@of_hub(NAME)
def restore(settings: Settings, as_json: bool, client_id: str) -> None:
    """Let a suspended agency act again."""
    row = handlers.set_standing(_context(settings), client_id, "active")
    answer(_told(row), as_json, lambda: [f"{row.name} is active."])


def _context(settings: Settings) -> Context:
    return build_context(settings, settings.consent_url or "", SystemClock())


def _told(row: Any) -> dict[str, Any]:
    names = ("name", "sector", "standing")
    return {"client_id": row.id, "source": row.id, **{name: getattr(row, name) for name in names}}
