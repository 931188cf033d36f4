"""Runs the consent service as real processes on one PostgreSQL database, with its context in this process for test data."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from deploy.testing.ports import free_port
from services.common.auth.access_tokens import TokenKeys
from services.common.database.migrations import upgrade
from services.common.settings import Settings
from services.consent import main as consent
from services.consent.context import Context
from tests.support.consent import TokenSigner
from tests.support.hubs import HubProcess


@dataclass(frozen=True, slots=True)
class ConsentProcess:
    """One process of the consent API and the port on which it answers."""

    process: HubProcess
    port: int


@contextmanager
def serving(
    settings: Settings, signer: TokenSigner, number: int, options: Sequence[str] = ()
) -> Iterator[list[ConsentProcess]]:
    """Serve the consent API by `number` processes on one database; `options` are those of `tests.support.consent_api`."""
    keys = settings.data / "token-keys.json"
    keys.write_text(json.dumps(signer.public.as_dict(private=False)))
    with own_context(settings, signer) as context:
        upgrade(consent.NAME, context.database)
    started = [_process(settings, free_port(), ["--token-keys", str(keys), *options]) for _ in range(number)]
    with ExitStack() as running:
        for one in started:
            running.callback(one.process.stop)
            one.process.start()
        for one in started:
            one.process.wait()
        yield started


@contextmanager
def own_context(settings: Settings, signer: TokenSigner) -> Iterator[Context]:
    """Yield a context in this process, on the same database and keys as the serving processes."""
    made = consent.build(settings, TokenKeys(keys=signer.public))
    try:
        yield made.app.state.context  # type: ignore[attr-defined]
    finally:
        made.close()


def _process(settings: Settings, port: int, options: Sequence[str]) -> ConsentProcess:
    url = f"http://127.0.0.1:{port}"
    own = Settings(
        database_url=settings.database_url,
        data=settings.data,
        public_url=url,
        issuer=settings.token_issuer,
        refused_openings=settings.refused_openings,
    )
    command = [sys.executable, "-m", "tests.support.consent_api", "--port", str(port), *options]
    log = settings.data / f"consent-{port}.log"
    return ConsentProcess(HubProcess(f"consent-{port}", command, own, log, f"{url}/consent/health/ready"), port)
