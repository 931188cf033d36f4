"""Puts the referral service together; nothing else happens here."""

from functools import partial

from services.common import health
from services.common.access import AccessGate, TokenKeys
from services.common.clock import Clock, SystemClock
from services.common.consumer import Handler
from services.common.database import Database
from services.common.replay import ReplayGuard
from services.common.service import Service
from services.common.settings import Settings
from services.common.web import create_app
from services.referral import api, handlers, models
from services.referral.domain import ANSWERS
from services.referral.room import Room

NAME = "referral"


def build(settings: Settings, token_keys: TokenKeys, clock: Clock | None = None) -> Service:
    """The service with everything it works with."""
    clock = clock or SystemClock()
    room = Room(Database(settings.database(NAME), by_key=True), models.plumbing.outbox, clock)
    gate = AccessGate(
        keys=token_keys,
        issuer=settings.token_issuer,
        public_url=settings.public_url,
        replay=ReplayGuard(room.database, models.plumbing.replay),
        clock=clock,
        standing=lambda agency: models.roster.standing(room.database, agency),
    )
    routers = [api.routes, health.router("/referral", room.database)]
    return Service(
        name=NAME,
        settings=settings,
        clock=clock,
        database=room.database,
        metadata=models.metadata,
        plumbing=models.plumbing,
        handlers=_handlers(room),
        app=create_app(
            "Fireweed referral",
            "What waits for an agency, and the life of each referral.",
            routers,
            room=room,
            gate=gate,
        ),
        prefixes=("/referral",),
        api_loops={"token keys": token_keys.loop()},
    )


def _handlers(room: Room) -> dict[str, Handler]:
    return {
        "referral.sealed.v1": partial(handlers.open_referral, room),
        **dict.fromkeys(ANSWERS, partial(handlers.answer, room)),
        "offer.opened.v1": partial(handlers.open_offer, room),
        "offer.claimed.v1": partial(handlers.claim_offer, room),
        "capacity.declared.v1": handlers.keep_service,
        "grant.ended.v1": partial(handlers.withdraw, room),
        "disclosure.made.v1": handlers.note_disclosure,
        "agency.changed.v1": models.roster.take,
    }
