"""Puts intake together; nothing else happens here."""

from joserfc.jwk import KeySet, OKPKey

from services.common import health
from services.common.access import AccessGate, TokenKeys
from services.common.clock import Clock, SystemClock
from services.common.database import Database
from services.common.jose import key_set, load_signing_key, new_signing_key
from services.common.replay import ReplayGuard
from services.common.secret_files import kept, secret
from services.common.service import Service
from services.common.settings import Settings
from services.common.web import create_app
from services.intake import api, models, store
from services.intake.gate import ConsentGate
from services.intake.handlers import note_refusal
from services.intake.room import Room
from services.intake.tokens import Client, TokenEndpoint

NAME = "intake"


def build(settings: Settings, consent_url: str, clock: Clock | None = None) -> Service:
    """The service with everything it works with; `consent_url` is the inner origin of the consent service."""
    clock = clock or SystemClock()
    key = _token_key(settings)
    room = build_room(settings, consent_url, clock)
    replay = ReplayGuard(room.database, models.plumbing.replay)
    tokens = TokenEndpoint(settings.token_issuer, key, lambda client: _client(room, client), replay, clock)
    gate = AccessGate(
        keys=TokenKeys(keys=key_set(tokens.public_keys()["keys"])),
        issuer=settings.token_issuer,
        public_url=settings.public_url,
        replay=replay,
        clock=clock,
        standing=lambda agency: _standing(room, agency),
    )
    routers = [api.routes, health.router("/intake", room.database)]
    return Service(
        name=NAME,
        settings=settings,
        clock=clock,
        database=room.database,
        metadata=models.metadata,
        plumbing=models.plumbing,
        handlers={"event.refused.v1": note_refusal},
        app=create_app(
            "Fireweed intake", "Where partner systems post events.", routers, room=room, gate=gate, tokens=tokens
        ),
        prefixes=("/intake", "/.well-known"),
        on_close=(room.consent.close,),
    )


def build_room(settings: Settings, consent_url: str, clock: Clock) -> Room:
    """What the handlers work with."""
    return Room(
        database=Database(settings.database(NAME), by_key=True),
        outbox=models.plumbing.outbox,
        consent=ConsentGate(consent_url, _token_key(settings), clock),
        digest_key=secret(settings.keys_folder / NAME / "digest.key"),
        clock=clock,
    )


def public_token_keys(settings: Settings) -> KeySet:
    """The keys that verify tokens, for other services in the same process."""
    return key_set([_token_key(settings).as_dict(private=False)])


def _token_key(settings: Settings) -> OKPKey:
    return kept(settings.keys_folder / NAME / "token-key.json", new_signing_key, load_signing_key)


def _client(room: Room, client_id: str) -> Client | None:
    with room.database.reading() as connection:
        row = store.get_agency(connection, client_id)
    return Client(row.id, row.jwks, row.standing == "active") if row else None


def _standing(room: Room, agency: str) -> str | None:
    with room.database.reading() as connection:
        return store.get_standing(connection, agency)
