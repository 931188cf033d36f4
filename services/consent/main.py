"""Puts the consent service together; nothing else happens here."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI

from services.common import health
from services.common.access import AccessGate, TokenKeys
from services.common.clock import Clock, SystemClock
from services.common.database import Database
from services.common.jose import Signer, load_signing_key, new_signing_key
from services.common.replay import ReplayGuard
from services.common.secret_files import kept, secret
from services.common.service import Service
from services.common.settings import Settings, key_name
from services.common.web import create_app
from services.common.worker import every
from services.consent import ledger, models, pages
from services.consent.api import agencies, authzen, compelled, inner, looks, notices, rights, survivors
from services.consent.api import ledger as ledger_routes
from services.consent.api.doors import Door
from services.consent.duties import duties
from services.consent.handlers import pushing
from services.consent.handlers.accounts import forget_stale
from services.consent.handlers.compelled import unseal_due
from services.consent.handlers.grants import end_lapsed
from services.consent.handlers.rotation import rotate_if_due
from services.consent.handlers.tree import publish
from services.consent.keys import KeyFiles
from services.consent.locks import SubjectLocks, subject_locks
from services.consent.policy import policy
from services.consent.push import Pusher
from services.consent.room import Room
from services.consent.secrets import Secrets
from services.consent.signing import LedgerKey
from services.consent.store.standing import Recipients

NAME = "consent"
PREFIXES = ("/consent", "/my", "/.well-known/authzen-configuration")


def build(
    settings: Settings, token_keys: TokenKeys, clock: Clock | None = None, locks: SubjectLocks | None = None
) -> Service:
    """The service with everything it works with. `locks` is there for the test that shows what happens without them."""
    clock = clock or SystemClock()
    room = build_room(settings, clock, locks)
    return Service(
        name=NAME,
        settings=settings,
        clock=clock,
        database=room.database,
        metadata=models.metadata,
        plumbing=models.plumbing,
        handlers={"agency.changed.v1": room.roster.take},
        app=_app(room, settings, token_keys),
        prefixes=PREFIXES,
        inner_app=_inner_app(room, token_keys),
        api_loops={"token keys": token_keys.loop()},
        chores={
            "consent ends": every(5.0, lambda: end_lapsed(room)),
            "consent notices": pushing.loop(room),
            "consent unsealing": every(60.0, lambda: unseal_due(room)),
            "consent sessions": every(60.0, lambda: forget_stale(room)),
            "consent ledger": every(1.0, lambda: publish(room)),
            "consent keys": every(5.0, lambda: rotate_if_due(room)),
        },
    )


def build_room(settings: Settings, clock: Clock, locks: SubjectLocks | None = None) -> Room:
    """What the handlers work with."""
    database = Database(settings.database(NAME), pool_size=20, by_key=True)
    folder = settings.keys_folder / NAME
    keys = KeyFiles(folder / "key-encryption")
    # Kept with the key: under another name, whoever verifies would take the same ledger for another one.
    name = settings.ledger_origin or kept(folder / "ledger.name", settings.ledger_name.encode, _read_name)
    ledger.seal_with(database, keys)
    return Room(
        database=database,
        outbox=models.plumbing.outbox,
        roster=Recipients(models.roster.table, clock),
        locks=locks or subject_locks(database),
        keys=keys,
        secrets=Secrets(secret(folder / "pepper.key")),
        ledger_key=LedgerKey(name, Ed25519PrivateKey.from_private_bytes(secret(folder / "ledger.key"))),
        pusher=Pusher(settings.push_to_loopback),
        policy=policy(),
        duties=duties(),
        signer=Signer(
            f"{settings.public_url}/consent", kept(folder / "signing.jwk", new_signing_key, load_signing_key)
        ),
        clock=clock,
        public_url=settings.public_url,
    )


def _read_name(stored: bytes) -> str:
    return key_name(stored.decode())


def _app(room: Room, settings: Settings, token_keys: TokenKeys) -> FastAPI:
    gate = AccessGate(
        keys=token_keys,
        issuer=settings.token_issuer,
        public_url=settings.public_url,
        replay=ReplayGuard(room.database, models.plumbing.replay),
        clock=room.clock,
        standing=lambda agency: room.roster.standing(room.database, agency),
    )
    door = Door(room, settings)
    for_agencies = [
        agencies.routes,
        authzen.routes,
        notices.routes,
        looks.routes,
        compelled.routes,
        ledger_routes.routes,
    ]
    for_her = [survivors.routes, rights.routes, *pages.ROUTERS]
    routers = [*for_agencies, *for_her, health.router("/consent", room.database)]
    title, description = "Fireweed consent", "She decides who sees what, and takes it back at once."
    return create_app(
        title,
        description,
        routers,
        agencies.LARGER,
        pages.show_trouble,
        room=room,
        gate=gate,
        door=door,
        public_url=settings.public_url,
    )


def _inner_app(room: Room, token_keys: TokenKeys) -> FastAPI:
    gate = inner.ServiceGate(token_keys, room.clock)
    return create_app("Fireweed consent, inner door", "For intake only.", [inner.routes], room=room, service_gate=gate)
