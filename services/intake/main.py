"""Builds the intake service from its parts; no other logic lives here."""

from asyncio import Semaphore
from functools import partial

from joserfc.jwk import KeySet, OKPKey

from services.common.auth.access_tokens import TokenKeys, access_gate
from services.common.auth.jose import key_set, load_signing_key, new_signing_key
from services.common.auth.replay import ReplayGuard
from services.common.clock import Clock, SystemClock
from services.common.database.engine import Database
from services.common.http import health
from services.common.http.app import create_app
from services.common.messaging.cloudevents import MAX_BATCH_BODY
from services.common.secret_files import kept, secret
from services.common.service import Service
from services.common.settings import Settings
from services.common.worker import every
from services.intake import api, models, store
from services.intake.consent_client import ConsentClient
from services.intake.context import Context
from services.intake.handlers import delete_old, note_refusal
from services.intake.token_endpoint import Client, TokenEndpoint

NAME = "intake"


def build(settings: Settings, consent_url: str, clock: Clock | None = None) -> Service:
    """Return the service with all its parts; `consent_url` is the internal origin of the consent service."""
    clock = clock or SystemClock()
    key = _token_key(settings)
    context = build_context(settings, consent_url, clock)
    replay = ReplayGuard(context.database, models.plumbing.replay)
    tokens = TokenEndpoint(settings.token_issuer, key, lambda client: _client(context, client), replay, clock)
    token_keys = TokenKeys(keys=key_set(tokens.public_keys()["keys"]))
    gate = access_gate(settings, token_keys, replay, clock, partial(_standing, context))
    routers = [api.routes, health.router("/intake", context.database)]
    return Service(
        name=NAME,
        settings=settings,
        clock=clock,
        database=context.database,
        metadata=models.metadata,
        plumbing=models.plumbing,
        handlers={"event.refused.v1": note_refusal},
        app=create_app(
            "Fireweed intake",
            "Where partner systems post events.",
            routers,
            larger={"/intake/v1/events": MAX_BATCH_BODY},
            context=context,
            gate=gate,
            tokens=tokens,
            large_batches=Semaphore(api.LARGE_BATCHES),
        ),
        prefixes=("/intake", "/.well-known"),
        chores={"intake retention": every(86_400.0, lambda: delete_old(context))},
        on_close=(context.consent.close,),
    )


def build_context(settings: Settings, consent_url: str, clock: Clock) -> Context:
    """Return the context for the handlers, with keys from the key folder."""
    return Context(
        database=Database(settings.database(NAME), by_key=True),
        outbox=models.plumbing.outbox,
        consent=ConsentClient(consent_url, _token_key(settings), clock),
        digest_key=secret(settings.keys_folder / NAME / "digest.key"),
        clock=clock,
    )


def public_token_keys(settings: Settings) -> KeySet:
    """Return the public keys that verify tokens, for other services in the same process."""
    return key_set([_token_key(settings).as_dict(private=False)])


def _token_key(settings: Settings) -> OKPKey:
    return kept(settings.keys_folder / NAME / "token-key.json", new_signing_key, load_signing_key)


def _client(context: Context, client_id: str) -> Client | None:
    with context.database.reading() as connection:
        row = store.get_agency(connection, client_id)
    return Client(row.id, row.jwks, row.standing == "active") if row else None


def _standing(context: Context, agency: str) -> str | None:
    with context.database.reading() as connection:
        return store.get_standing(connection, agency)
