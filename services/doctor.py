"""`fireweed doctor` checks a hub and says with each finding what to do next."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from stat import S_IMODE

import click
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from services import composition
from services.common.cli import DAMAGED, answer, hub_options, of_hub
from services.common.clock import SystemClock
from services.common.database.migrations import Newer
from services.common.messaging.broker import BrokerUnavailable
from services.common.secret_files import Damaged, Missing, making_none
from services.common.service import Service
from services.common.settings import Settings
from services.consent import main as consent
from services.consent.handlers.operations.health_checks import soundness
from services.referral import main as referral
from services.referral.handlers.webhooks import switched_off

OUTBOX_SECONDS = 60
FIRST_KEYS = "if it ever ran, bring {} back before anything starts; if not, start the hub once; it makes its keys"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: what should hold, whether it does, and otherwise what to do next."""

    what: str
    well: bool
    advice: str = ""

    def as_text(self) -> str:
        """Return the finding as text for people."""
        return f"ok    {self.what}" if self.well else f"FAIL  {self.what}\n      -> {self.advice}"


def run_checks(settings: Settings, names: Sequence[str]) -> list[Finding]:
    """Run every check of these services; return the findings in the order in which a person would repair them."""
    with making_none():
        return [*_installation(), *_keys(settings), *_databases(settings, names), *_bus(settings)]


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
            if name == referral.NAME and not composition.missing(made):
                yield _webhooks(made)
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
    yield Finding("every entry of the ledger is in a signed tree", found.ledger_is_signed, f"{worker} does not sign")
    yield Finding("the key-encryption key is young", found.keys_are_young, f"{worker} does not rotate the keys")
    back = f"bring the missing files in {settings.keys_folder / consent.NAME} back"
    older = "if it is the database that was brought back, from an older copy: fireweed grants end-all"
    yield Finding("every live key can be opened", found.keys_open, f"{back}; {older}")


def _webhooks(service: Service) -> Finding:
    off = switched_off(service.database)
    advice = f"ask {', '.join(off)} to put the receiver right, and then to PUT the webhook again"
    return Finding("no webhook is switched off after failures", not off, advice)


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


@click.command()
@click.argument("services", nargs=-1, type=click.Choice(composition.NAMES))
@hub_options
@of_hub(*composition.NAMES)
def doctor(settings: Settings, as_json: bool, services: tuple[str, ...]) -> None:
    """Look the hub over, or the services you name; every finding says what to do next. The status is 1 if one fails."""
    found = run_checks(settings, services or composition.NAMES)
    document = [{"what": item.what, "well": item.well, "next": item.advice} for item in found]
    answer(document, as_json, lambda: [item.as_text() for item in found])
    sys.exit(0 if all(item.well for item in found) else 1)
