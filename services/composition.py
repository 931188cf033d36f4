"""Builds the services for each way to run: all in one process, or one service alone, without the code of the others."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from joserfc.jwk import KeySet
from starlette.types import ASGIApp

from services.common.auth.access_tokens import TokenKeys
from services.common.database.engine import Database
from services.common.database.migrations import missing_steps, upgrade
from services.common.messaging.broker import Broker
from services.common.messaging.local_log import LocalLog
from services.common.service import Service
from services.common.settings import Settings
from services.front import main as front

NAMES = ("intake", "consent", "referral", "reporting")
ROLES = ("api", "worker")


def build_one(name: str, settings: Settings) -> Service:
    """Build one service of a distributed hub; it knows the others by their URLs only."""
    return _build(name, settings, settings.consent_url or settings.public_url, TokenKeys(url=settings.token_keys))


def build_all(settings: Settings, consent_url: str) -> list[Service]:
    """Build every service, for one process."""
    keys = TokenKeys(keys=public_keys(settings))
    return [_build(name, settings, consent_url, keys) for name in NAMES]


def _build(name: str, settings: Settings, consent_url: str, keys: TokenKeys) -> Service:
    needs: dict[str, tuple[Any, ...]] = {
        "intake": (consent_url,),
        "consent": (keys,),
        "referral": (keys,),
        "reporting": (),
    }
    made: Service = _main(name).build(settings, *needs[name])
    return made


def _main(name: str) -> Any:
    return import_module(f"services.{name}.main")


def public_keys(settings: Settings) -> KeySet:
    """Return the keys that verify tokens, from this machine's key folder."""
    keys: KeySet = _main("intake").public_token_keys(settings)
    return keys


def public_apps(services: Sequence[Service]) -> dict[str, ASGIApp]:
    """Return the applications that answer the public address, by path prefix.

    The front page is public and without a database, as the reports are: the process that answers for them serves it.
    """
    apps: dict[str, ASGIApp] = {prefix: service.app for service in services for prefix in service.prefixes}
    if any(service.name == "reporting" for service in services):
        apps |= dict.fromkeys(front.PREFIXES, front.build())
    return apps


def broker(settings: Settings) -> Broker:
    """Return the bus: Kafka if the settings name a server, otherwise the local log in the data folder."""
    if settings.kafka:
        from services.common.messaging.kafka import KafkaBroker  # noqa: PLC0415 - an API, or a hub on its own, needs no client

        return KafkaBroker(settings.kafka, session=settings.kafka_session)
    return LocalLog(settings.data / "log.sqlite")


def migrate(service: Service) -> list[str]:
    """Migrate one service's database to the newest schema; return the steps taken."""
    return upgrade(service.name, service.database)


def missing(service: Service) -> list[str]:
    """Return the migration steps that a service's database lacks."""
    return missing_steps(service.name, service.database)


def migrate_all(settings: Settings, names: tuple[str, ...] = NAMES) -> Mapping[str, list[str]]:
    """Migrate the databases of several services; return the steps taken by service. It needs no secret keys."""
    taken = {}
    for name in names:
        database = Database(settings.database(name))
        try:
            taken[name] = upgrade(name, database)
        finally:
            database.close()
    return taken
