"""Commands about agencies: `fireweed agency add|list|suspend|restore|keys`; `handlers` and `agency_keys` do the work."""

import json
from collections.abc import Callable
from typing import Any, TextIO

import click

from services.common.cli import answer, hub_options, of_hub
from services.common.clock import SystemClock
from services.common.errors import Fault, invalid
from services.common.http.outgoing import OutgoingClient
from services.common.settings import Settings
from services.intake import agency_keys, handlers
from services.intake.context import Context
from services.intake.main import NAME, build_context


def _jwks_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--jwks` and `--jwks-url`, of which a command needs one."""
    by_url = click.option("--jwks-url", help="https URL of the partner's public keys, read once, now.")
    by_value = click.option("--jwks", type=click.File("r"), help="File with the partner's public keys (a JWK set).")
    return by_value(by_url(command))


def _keys_from(jwks: TextIO | None, jwks_url: str | None) -> object:
    """Return the document in the file or at the URL; raise a 400 problem, or a usage error unless one of them is given."""
    if (jwks is None) == (jwks_url is None):
        raise click.UsageError("Give the keys with either --jwks FILE or --jwks-url URL.")
    if jwks is None:
        return agency_keys.fetch_keys(OutgoingClient(), str(jwks_url))
    try:
        return json.load(jwks)
    except (ValueError, RecursionError) as error:
        raise invalid(Fault("--jwks", "The file is not JSON.", '{"keys": [...]}')) from error


@click.group()
def agency() -> None:
    """Take partner organisations in, list them, suspend them, exchange their keys."""


@agency.command()
@click.option("--name", required=True, help="The organisation's public name, as survivors will read it.")
@click.option("--sector", required=True, help="A code of schemas/codes/sectors.json, such as housing or health.")
@_jwks_options
@click.option("--force", is_flag=True, help="Take a name that looks like another agency's. A key is never shared.")
@hub_options
@of_hub(NAME)
def add(settings: Settings, as_json: bool, name: str, sector: str, force: bool, **given: Any) -> None:  # noqa: ARG001
    """Take an agency in. Prints JSON with its client id, which is also the `source` of its events."""
    row = handlers.add_agency(_context(settings), name, sector, _keys_from(**given), force=force)
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


@agency.group()
def keys() -> None:
    """Show and exchange an agency's public keys. Its ppids and grants stay.

    \b
    To rotate without a pause: `add` the new key, let the partner sign with it, then `remove` the old one.
    If a key was stolen: `suspend` the agency, `replace` its keys, and `restore` it after 300 seconds, when
    the last token that the thief can have got is over.
    """


@keys.command("show")
@click.argument("client_id")
@hub_options
@of_hub(NAME)
def show_keys(settings: Settings, as_json: bool, client_id: str) -> None:
    """List an agency's keys by their thumbprints (RFC 7638)."""
    _answer_keys(agency_keys.show_keys(_context(settings), client_id), as_json)


@keys.command("replace")
@click.argument("client_id")
@_jwks_options
@hub_options
@of_hub(NAME)
def replace_keys(settings: Settings, as_json: bool, client_id: str, **given: Any) -> None:
    """Put other keys in the place of all that an agency has."""
    _answer_keys(agency_keys.replace_keys(_context(settings), client_id, _keys_from(**given)), as_json)


@keys.command("add")
@click.argument("client_id")
@_jwks_options
@hub_options
@of_hub(NAME)
def add_keys(settings: Settings, as_json: bool, client_id: str, **given: Any) -> None:
    """Add a key beside the present one; both are taken until one is removed."""
    _answer_keys(agency_keys.add_keys(_context(settings), client_id, _keys_from(**given)), as_json)


@keys.command("remove")
@click.argument("client_id")
@click.argument("key")
@hub_options
@of_hub(NAME)
def remove_key(settings: Settings, as_json: bool, client_id: str, key: str) -> None:
    """Remove a key by its thumbprint or kid; the last one stays."""
    _answer_keys(agency_keys.remove_key(_context(settings), client_id, key), as_json)


def _answer_keys(found: list[dict[str, str]], as_json: bool) -> None:
    answer(found, as_json, lambda: [f"{key['thumbprint']}  {key['kind']:4} {key['kid']}".rstrip() for key in found])


def _context(settings: Settings) -> Context:
    return build_context(settings, settings.consent_url or "", SystemClock())


def _told(row: Any) -> dict[str, Any]:
    names = ("name", "sector", "standing")
    return {"client_id": row.id, "source": row.id, **{name: getattr(row, name) for name in names}}
