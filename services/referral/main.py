"""Wires the referral service; nothing else happens here."""

from functools import partial

from services.common.auth.access_tokens import TokenKeys, access_gate
from services.common.auth.replay import ReplayGuard
from services.common.clock import Clock, SystemClock
from services.common.database.engine import Database
from services.common.http import health
from services.common.http.app import create_app
from services.common.messaging.consumer import Handler
from services.common.service import Service
from services.common.settings import Settings
from services.common.worker import every
from services.referral import api, handlers, models
from services.referral.context import Context
from services.referral.domain import ANSWERS

NAME = "referral"


def build(settings: Settings, token_keys: TokenKeys, clock: Clock | None = None) -> Service:
    """Return the service with everything it works with."""
    clock = clock or SystemClock()
    context = Context(Database(settings.database(NAME), by_key=True), models.plumbing.outbox, clock)
    replay = ReplayGuard(context.database, models.plumbing.replay)
    gate = access_gate(settings, token_keys, replay, clock, partial(models.roster.standing, context.database))
    routers = [api.routes, health.router("/referral", context.database)]
    return Service(
        name=NAME,
        settings=settings,
        clock=clock,
        database=context.database,
        metadata=models.metadata,
        plumbing=models.plumbing,
        handlers=_handlers(context),
        app=create_app(
            "Fireweed referral",
            "What waits for an agency, and the life of each referral.",
            routers,
            context=context,
            gate=gate,
        ),
        prefixes=("/referral",),
        api_loops={"token keys": token_keys.loop()},
        chores={"referral erased": every(3600.0, lambda: handlers.forget_erased(context))},
    )


def _handlers(context: Context) -> dict[str, Handler]:
    return {
        "referral.sealed.v1": partial(handlers.open_referral, context),
        **dict.fromkeys(ANSWERS, partial(handlers.answer, context)),
        "offer.opened.v1": partial(handlers.open_offer, context),
        "offer.claimed.v1": partial(handlers.claim_offer, context),
        "capacity.declared.v1": handlers.keep_service,
        "grant.ended.v1": partial(handlers.withdraw, context),
        "sender.shut_out.v1": partial(handlers.stand_still, context),
        "statistics.withdrawn.v1": handlers.forget_pseudonyms,
        "disclosure.made.v1": handlers.note_disclosure,
        "agency.changed.v1": models.roster.take,
    }
