"""Commands of the consent service: `fireweed keys rotate`, `fireweed grants end-all`, `fireweed ledger verify|copy|key`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import click

from services.common.cli import answer, hub_options, of_hub
from services.common.clock import SystemClock
from services.common.database.process_lock import hold
from services.common.errors import Problem
from services.common.settings import Settings
from services.common.transparency_log.signed_notes import NotANote, Verifier, verifier
from services.common.transparency_log.tiles import ENTRIES, WIDTH, Tile, tiles_of
from services.consent.context import Context
from services.consent.handlers.ledger import publish
from services.consent.handlers.operations.key_rotation import KeyLost, StillWrapping, rotate_now
from services.consent.handlers.operations.restore import Ended, end_everything
from services.consent.ledger import verify as offline
from services.consent.ledger.verify import Broken, Findings
from services.consent.main import NAME, build_context


@click.group()
def keys() -> None:
    """The key-encryption key, which wraps every other key of the consent service."""


@keys.command("rotate")
@hub_options
@of_hub(NAME)
def rotate_(settings: Settings, as_json: bool) -> None:
    """Wrap every live key anew and destroy the old key: what was revoked or erased before can then never be opened."""

    def told(done: int, of: int) -> None:
        click.echo(f"{done} of {of} keys are wrapped anew.", err=True)

    try:
        with _context(settings) as context:
            done = rotate_now(context, told)
    except KeyLost as lost:
        advice = "Nothing was destroyed. Bring the missing key file back, or end the grants that need it."
        raise click.ClickException(f"{lost}. {advice}") from lost
    except StillWrapping as busy:
        raise click.ClickException(f"{busy}. Nothing was changed; please try again.") from busy
    document = {"number": done.number, "rewrapped": done.rewrapped, "destroyed": list(done.destroyed)}
    gone = ", ".join(map(str, done.destroyed)) or "none"
    answer(document, as_json, lambda: [f"Key {done.number} wraps {done.rewrapped} keys. Destroyed: {gone}."])


@click.group()
def grants() -> None:
    """Grants, for the one case in which they may be touched by anybody but her."""


@grants.command("end-all")
@click.confirmation_option(prompt="This ends every grant of everybody. Go on?")
@hub_options
@of_hub(NAME)
def end_all(settings: Settings, as_json: bool) -> None:
    """End every grant, after an older copy of the database was brought back: what she took back since would flow again.

    Agencies are told to stop using what they have. She gives again what she wants.
    """
    with _context(settings) as context, hold(context.database, "api"):
        done = end_everything(context, lambda so_far: click.echo(f"{so_far} survivors are seen to.", err=True))
    answer({"ended": done.grants, "held": done.held, "keys_given_up": done.given_up}, as_json, lambda: _told(done))
    if done.held:
        raise click.ClickException("Something of theirs was just being read. Say it once more.")


def _told(done: Ended) -> list[str]:
    lost = f" {done.given_up} keys that nothing opens any more were given up." if done.given_up else ""
    return [f"{done.grants} grants have ended, {done.held} survivors are left.{lost}"]


@click.group()
def ledger() -> None:
    """The ledger: verify it offline, copy it, print its public key."""


@ledger.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--key", required=True, help="The ledger's verifier key (vkey), or a file that holds it.")
@click.option("--earlier", multiple=True, type=click.File("r", encoding="utf-8"), help="A checkpoint from before.")
@click.option("--receipt", type=click.File("r", encoding="utf-8"), help="A receipt, or the answer with several.")
@click.option("--export", "copy_", type=click.File("r", encoding="utf-8"), help="A survivor's copy (JSON).")
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def verify(folder: Path | None, key: str, earlier: Any, receipt: Any, copy_: Any, as_json: bool) -> None:
    """Verify a FOLDER of tiles (as served below /consent/v1/ledger), receipts or a copy. It needs no hub and no network.

    The status is 0 if everything holds, and 1 with the place of what does not.
    """
    known = _key(key)
    try:
        found: dict[str, Any] = {}
        if folder:
            found |= _log(offline.verify_log(_reader(folder), known, [file.read() for file in earlier]))
        if receipt:
            found |= _receipts(_document(receipt), known)
        if copy_:
            proven, waiting = offline.verify_export(_document(copy_), known)
            found |= {"lines": proven, "not_yet_in_the_ledger": waiting}
    except (Broken, ValueError) as error:
        raise click.ClickException(f"This does not hold: {error}.") from error
    if not found:
        raise click.UsageError("Name a folder, a receipt or a copy.")
    answer(found, as_json, lambda: ["It holds.", *(f"  {name}: {value}" for name, value in found.items())])


@ledger.command("copy")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@hub_options
@of_hub(NAME)
def copy(settings: Settings, as_json: bool, folder: Path) -> None:
    """Write the ledger's checkpoint, tiles and entries to a FOLDER, as they are served; it holds commitments only."""
    with _context(settings) as context:
        try:
            note = publish.checkpoint(context)
        except Problem as none:
            advice = "The hub, or consent's worker, signs the first within seconds of its start."
            raise click.ClickException(f"No checkpoint is signed yet. {advice}") from none
        size = int(note.split("\n")[1])
        entries = [Tile(ENTRIES, number, min(WIDTH, size - number * WIDTH)) for number in range(-(-size // WIDTH))]
        tiles = [*tiles_of(size), *entries]
        for tile in tiles:
            path = folder / "tile" / tile.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(publish.tile(context, tile.path))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "checkpoint").write_text(note, "utf-8")
    document = {"entries": size, "files": len(tiles) + 1}
    answer(document, as_json, lambda: [f"{size} entries are in {folder}."])


@ledger.command("key")
@hub_options
@of_hub(NAME)
def key_(settings: Settings, as_json: bool) -> None:
    """Print the ledger's verifier key, which every verifier must get from you."""
    with _context(settings) as context:
        known = str(context.ledger_key.verifier)
    answer({"key": known}, as_json, lambda: [known])


@contextmanager
def _context(settings: Settings) -> Iterator[Context]:
    context = build_context(settings, SystemClock())
    try:
        yield context
    finally:
        context.database.close()


def _key(text: str) -> Verifier:
    try:
        return verifier(Path(text).read_text("utf-8") if Path(text).is_file() else text)
    except (NotANote, OSError, ValueError) as error:
        raise click.ClickException("That is not a verifier key. `fireweed ledger key` prints the right one.") from error


def _document(file: TextIO) -> dict[str, Any]:
    try:
        document = json.load(file)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Broken(f"{file.name} holds neither a receipt nor a copy")
    return document


def _reader(folder: Path) -> offline.Read:
    def read(name: str) -> bytes | None:
        path = folder / name
        return path.read_bytes() if path.is_file() else None

    return read


def _log(findings: Findings) -> dict[str, Any]:
    if findings.wrong:
        raise Broken("\n  ".join(["", *findings.wrong]).rstrip("."))
    return {"entries": findings.entries, "tiles": findings.tiles}


def _receipts(document: dict[str, Any], known: Verifier) -> dict[str, Any]:
    several = document.get("receipts", [document])
    if not isinstance(several, list) or not several:
        raise Broken("there is no receipt in it")
    covers = [offline.verify_receipt(each, known) for each in several]
    return {"receipts": len(covers), "proven": sum(cover is not None for cover in covers)}
