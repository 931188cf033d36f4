"""Puts rooms together for each way to run: all in one process, or one service of many."""

from collections.abc import Mapping

from joserfc.jwk import KeySet

from services.common.access import TokenKeys
from services.common.broker import Broker
from services.common.database import Database
from services.common.kafka_broker import KafkaBroker
from services.common.local_log import LocalLog
from services.common.migrations import missing_steps, upgrade
from services.common.service import Service
from services.common.settings import Settings
from services.consent import main as consent
from services.intake import main as intake
from services.referral import main as referral
from services.reporting import main as reporting

NAMES = (intake.NAME, consent.NAME, referral.NAME, reporting.NAME)


def build_one(name: str, settings: Settings) -> Service:
    """One service of a distributed hub; it knows the others by their URLs only."""
    keys = TokenKeys(url=settings.token_keys)
    makers = {
        intake.NAME: lambda: intake.build(settings, settings.consent_url or settings.public_url),
        consent.NAME: lambda: consent.build(settings, keys),
        referral.NAME: lambda: referral.build(settings, keys),
        reporting.NAME: lambda: reporting.build(settings),
    }
    return makers[name]()


def build_all(settings: Settings, consent_url: str) -> list[Service]:
    """Every service, for one process."""
    keys = TokenKeys(keys=public_keys(settings))
    return [
        intake.build(settings, consent_url),
        consent.build(settings, keys),
        referral.build(settings, keys),
        reporting.build(settings),
    ]


def public_keys(settings: Settings) -> KeySet:
    """The keys that verify tokens, read from this machine's key folder."""
    return intake.public_token_keys(settings)


def broker(settings: Settings) -> Broker:
    """The bus: Kafka if the settings name one, otherwise the local log in the data folder."""
    if settings.kafka:
        return KafkaBroker(settings.kafka, session=settings.kafka_session)
    return LocalLog(settings.data / "log.sqlite")


def migrate(service: Service) -> list[str]:
    """Bring one service's database to the newest shape; the steps taken."""
    return upgrade(service.name, service.database)


def missing(service: Service) -> list[str]:
    """The steps that its database lacks."""
    return missing_steps(service.name, service.database)


def migrate_all(settings: Settings, names: tuple[str, ...] = NAMES) -> Mapping[str, list[str]]:
    """The same for several; the steps taken by service. It needs no keys, so it may run where there must be none."""
    taken = {}
    for name in names:
        database = Database(settings.database(name))
        try:
            taken[name] = upgrade(name, database)
        finally:
            database.close()
    return taken
