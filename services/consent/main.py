"""Puts the consent service together; nothing else happens here."""

from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI

from services.common.auth.access_tokens import TokenKeys, access_gate
from services.common.auth.jose import Signer, load_signing_key, new_signing_key
from services.common.auth.replay import ReplayGuard
from services.common.clock import Clock, SystemClock
from services.common.database.engine import Database
from services.common.http import health
from services.common.http.app import create_app
from services.common.http.outgoing import OutgoingClient
from services.common.secret_files import kept, secret
from services.common.service import Service
from services.common.settings import Settings, key_name
from services.common.worker import every
from services.consent import models, pages
from services.consent.agency_quotas import RefusalBudget
from services.consent.api import agencies, authzen, compelled, internal, notices, second_looks, survivors
from services.consent.api import ledger as ledger_routes
from services.consent.api.dependencies import SurvivorAuth
from services.consent.context import Context
from services.consent.credentials import Secrets
from services.consent.handlers.accounts.sessions import forget_stale
from services.consent.handlers.agencies.compelled import unseal_due
from services.consent.handlers.disclosures import sent
from services.consent.handlers.grants import drafts
from services.consent.handlers.grants.grants import end_lapsed
from services.consent.handlers.ledger.publish import publish
from services.consent.handlers.notices import push
from services.consent.handlers.operations.key_rotation import rotate_if_due
from services.consent.handlers.rights.erasure import forget_erased
from services.consent.key_encryption import KeyFiles
from services.consent.ledger import entries as ledger
from services.consent.ledger.signing import LedgerKey
from services.consent.locks import SubjectLocks, subject_locks
from services.consent.notice_delivery import Pusher
from services.consent.policy import duty_rules, policy
from services.consent.store.recipients import Recipients

NAME = "consent"
PREFIXES = ("/consent", "/my", "/.well-known/authzen-configuration")


def build(
    settings: Settings, token_keys: TokenKeys, clock: Clock | None = None, locks: SubjectLocks | None = None
) -> Service:
    """Build the service. `locks` is a parameter for the test that shows what happens without them."""
    clock = clock or SystemClock()
    context = build_context(settings, clock, locks)
    return Service(
        name=NAME,
        settings=settings,
        clock=clock,
        database=context.database,
        metadata=models.metadata,
        plumbing=models.plumbing,
        handlers={"agency.changed.v1": context.roster.take, "referral.sealed.v1": partial(sent.keep, context)},
        app=_app(context, settings, token_keys),
        prefixes=PREFIXES,
        inner_app=_inner_app(context, token_keys),
        api_loops={"token keys": token_keys.loop()},
        chores={
            "consent ends": every(5.0, lambda: end_lapsed(context)),
            "consent notices": push.loop(context),
            "consent drafts": every(60.0, lambda: drafts.forget_done(context)),
            "consent unsealing": every(60.0, lambda: unseal_due(context)),
            "consent sessions": every(60.0, lambda: forget_stale(context)),
            "consent ledger": every(1.0, lambda: publish(context)),
            "consent erased": every(5.0, lambda: forget_erased(context)),
            "consent keys": every(5.0, lambda: rotate_if_due(context)),
        },
    )


def build_context(settings: Settings, clock: Clock, locks: SubjectLocks | None = None) -> Context:
    """Build the value that the handlers work with."""
    database = Database(settings.database(NAME), pool_size=20, by_key=True)
    folder = settings.keys_folder / NAME
    keys = KeyFiles(folder / "key-encryption")
    # Kept with the key: under another name, verifiers would take this ledger for a different one.
    name = settings.ledger_origin or kept(folder / "ledger.name", settings.ledger_name.encode, _read_name)
    ledger.seal_with(database, keys)
    return Context(
        database=database,
        outbox=models.plumbing.outbox,
        roster=Recipients(models.roster.table, clock),
        locks=locks or subject_locks(database),
        keys=keys,
        secrets=Secrets(secret(folder / "pepper.key")),
        ledger_key=LedgerKey(name, Ed25519PrivateKey.from_private_bytes(secret(folder / "ledger.key"))),
        pusher=Pusher(OutgoingClient(settings.push_to_loopback)),
        policy=policy(),
        duty_rules=duty_rules(),
        refusals=RefusalBudget(clock, settings.refused_openings),
        signer=Signer(
            f"{settings.public_url}/consent", kept(folder / "signing.jwk", new_signing_key, load_signing_key)
        ),
        clock=clock,
        public_url=settings.public_url,
    )


def _read_name(stored: bytes) -> str:
    return key_name(stored.decode())


def _app(context: Context, settings: Settings, token_keys: TokenKeys) -> FastAPI:
    replay = ReplayGuard(context.database, models.plumbing.replay)
    gate = access_gate(settings, token_keys, replay, context.clock, partial(context.roster.standing, context.database))
    auth = SurvivorAuth(context, settings)
    for_agencies = [
        agencies.routes,
        authzen.routes,
        notices.routes,
        second_looks.routes,
        compelled.routes,
        ledger_routes.routes,
    ]
    for_her = [*survivors.ROUTERS, *pages.ROUTERS]
    routers = [*for_agencies, *for_her, health.router("/consent", context.database)]
    title, description = "Fireweed consent", "She decides who sees what, and takes it back at once."
    return create_app(
        title,
        description,
        routers,
        agencies.LARGER,
        pages.show_trouble,
        context=context,
        gate=gate,
        auth=auth,
        public_url=settings.public_url,
    )


def _inner_app(context: Context, token_keys: TokenKeys) -> FastAPI:
    gate = internal.ServiceGate(token_keys, context.clock)
    return create_app(
        "Fireweed consent, internal", "For intake only.", [internal.routes], context=context, service_gate=gate
    )
