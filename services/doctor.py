"""`fireweed doctor` looks a hub over, each finding with what to do next; `fireweed parked` is about what stopped events."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from stat import S_IMODE
from typing import Any

import click
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from services import composition
from services.common.cli import DAMAGED, answer, hub_options, of_hub
from services.common.clock import SystemClock
from services.common.database.migrations import Newer
from services.common.messaging.broker import BrokerUnavailable
from services.common.messaging.parking import Summary
from services.common.secret_files import Damaged, Missing, making_none
from services.common.service import Service
from services.common.settings import Settings
from services.consent import main as consent
from services.consent.handlers.operations.health_checks import soundness

OUTBOX_SECONDS = 60
FIRST_KEYS = "if it ever ran, bring {} back before anything starts; if not, start the hub once; it makes its keys"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    well: bool
    advice: str = ""

    def as_text(self) -> str:
        """The finding as a line for people."""
        return f"ok    {self.what}" if self.well else f"ILL   {self.what}\n      -> {self.advice}"


def run_checks(settings: Settings, names: Sequence[str]) -> list[Finding]:
    """Everything about these services, in the order in which it would be mended."""
    with making_none():
        return [*_installation(), *_keys(settings), *_databases(settings, names), *_bus(settings)]


def _parked(settings: Settings, names: Sequence[str]) -> list[dict[str, Any]]:
    return [line for name in names for line in _parked_in(name, composition.build_one(name, settings))]


def _parked_in(name: str, service: Service) -> list[dict[str, Any]]:
    with service.database.reading() as connection:
        return [{"service": name, **asdict(item)} for item in service.plumbing.parking.summary(connection)]


def _installation() -> Iterator[Finding]:
    fast = find_spec("crc32c") is not None
    yield Finding(
        "the C checksum for Kafka is installed", fast, "pip install 'kafka-python[crc32c]': 3 to 8 times faster"
    )


def _keys(settings: Settings) -> Iterator[Finding]:
    folder = settings.keys_folder
    if not folder.exists():
        yield Finding(f"the key folder {folder} exists", False, FIRST_KEYS.format("the folder"))
        return
    open_files = [path for path in folder.rglob("*") if path.is_file() and S_IMODE(path.stat().st_mode) & 0o077]
    yield Finding("only their owner can read the keys", not open_files, f"chmod -R go= {folder}")


def _databases(settings: Settings, names: Sequence[str]) -> Iterator[Finding]:
    for name in names:
        try:
            made = composition.build_one(name, settings)
            yield from _database(name, made)
            if name == consent.NAME and not composition.missing(made):
                yield from _ledger(settings)
        except SQLAlchemyError as error:
            yield Finding(f"the {name} database answers", False, _why(error, "FIREWEED_DATABASE_URL"))
        except Newer as newer:
            yield Finding(f"this version knows the shape of the {name} database", False, newer.title)
        except Missing as missing:
            yield Finding(f"{name} has {missing.path}", False, FIRST_KEYS.format("the file"))
        except Damaged as error:
            yield Finding(f"{name} can read {error.path}", False, DAMAGED)


def _why(error: SQLAlchemyError, variable: str) -> str:
    if type(error) is DatabaseError:
        return DAMAGED
    return f"check {variable} and that the database runs ({type(error).__name__})"


def _database(name: str, service: Service) -> Iterator[Finding]:
    missing = composition.missing(service)
    yield Finding(f"the {name} database has its newest shape", not missing, f"fireweed migrate {name}")
    if missing:
        return
    with service.database.reading() as connection:
        oldest = service.plumbing.outbox.oldest_at(connection)
        waiting = (service.clock.now() - oldest).total_seconds() if oldest else 0
        stopped = service.plumbing.parking.summary(connection)
    runs = _runs(service.settings, name)
    flows = f"{runs} must be running and reach the bus; the oldest event waits {waiting:.0f} s"
    yield Finding(f"events leave {name}", waiting < OUTBOX_SECONDS, flows)
    yield Finding(f"{name} could handle every event", not stopped, "fireweed parked list")


def _runs(settings: Settings, name: str) -> str:
    return f"`fireweed serve {name} worker`" if settings.kafka else "`fireweed up`"


def _ledger(settings: Settings) -> Iterator[Finding]:
    context = consent.build_context(settings, SystemClock())
    try:
        found = soundness(context)
    finally:
        context.database.close()
    worker = f"{_runs(settings, consent.NAME)} must be running; if it is, its log says why it"
    yield Finding("every line of the ledger is in a signed tree", found.ledger_is_signed, f"{worker} does not sign")
    yield Finding("the key-encryption key is young", found.keys_are_young, f"{worker} does not rotate the keys")
    back = f"bring the missing files in {settings.keys_folder / consent.NAME} back"
    older = "if it is the database that was brought back, from an older copy: fireweed grants end-all"
    yield Finding("every live key can be opened", found.keys_open, f"{back}; {older}")


def _bus(settings: Settings) -> Iterator[Finding]:
    try:
        missing = composition.broker(settings).missing_topics()
    except BrokerUnavailable:
        yield Finding("the bus answers", False, "check FIREWEED_KAFKA and that Kafka runs")
        return
    except SQLAlchemyError as error:
        yield Finding(f"the bus in {settings.data} answers", False, _why(error, "FIREWEED_DATA"))
        return
    yield Finding("every topic exists", not missing, f"fireweed topics sync (missing: {', '.join(missing)})")


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
    answer(found, as_json, lambda: [_parked_line(item) for item in found] or ["Nothing is parked."])


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


@click.command()
@click.argument("services", nargs=-1, type=click.Choice(composition.NAMES))
@hub_options
@of_hub(*composition.NAMES)
def doctor(settings: Settings, as_json: bool, services: tuple[str, ...]) -> None:
    """Look the hub over, or the services you name; every finding says what to do next. The status is 1 if one is ill."""
    found = run_checks(settings, services or composition.NAMES)
    document = [{"what": item.what, "well": item.well, "next": item.advice} for item in found]
    answer(document, as_json, lambda: [item.as_text() for item in found])
    sys.exit(0 if all(item.well for item in found) else 1)


def _parked_line(item: dict[str, Any]) -> str:
    return f"{item['service']}  {item['key']}  {item['events']} events since {item['since']} ({item['reason']})"
