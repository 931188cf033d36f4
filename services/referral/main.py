"""Wires the referral service; nothing else happens here."""

from functools import partial

from services.common.auth.access_tokens import TokenKeys, access_gate
from services.common.auth.replay import ReplayGuard
from services.common.clock import Clock, SystemClock
from services.common.database.engine import Database
from services.common.http import health
from services.common.http.app import create_app
from services.common.http.outgoing import OutgoingClient
from services.common.messaging.consumer import Handler
from services.common.service import Service
from services.common.settings import Settings
from services.common.worker import every
from services.referral import api, handlers, models
from services.referral.api import feed, lists, offers, webhooks
from services.referral.context import Context
from services.referral.domain import ANSWERS
from services.referral.handlers import clocks, deliveries, retention
from services.referral.handlers import feed as feeds
from services.referral.handlers import offers as offering
from services.referral.handlers.webhooks import Webhooks
from services.referral.long_poll import Waiting
from services.referral.webhook_signing import SecretStore

NAME = "referral"
WEBHOOK_SECONDS = 15.0


def build(settings: Settings, token_keys: TokenKeys, clock: Clock | None = None) -> Service:
    """Return the service with everything it works with."""
    clock = clock or SystemClock()
    context = Context(Database(settings.database(NAME), by_key=True), models.plumbing.outbox, clock)
    replay = ReplayGuard(context.database, models.plumbing.replay)
    gate = access_gate(settings, token_keys, replay, clock, partial(models.roster.standing, context.database))
    to_agencies = Webhooks(
        OutgoingClient(settings.push_to_loopback, WEBHOOK_SECONDS),
        SecretStore(settings.keys_folder / NAME / "webhook.key"),
    )
    routers = [feed.routes, lists.routes, offers.routes, webhooks.routes, api.routes]
    routers.append(health.router("/referral", context.database))
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
            webhooks=to_agencies,
            waiting=Waiting(partial(feeds.last_numbers, context)),
        ),
        prefixes=("/referral",),
        api_loops={"token keys": token_keys.loop()},
        chores={
            "referral erased": every(3600.0, lambda: handlers.forget_erased(context)),
            "referral clocks": every(60.0, lambda: clocks.tell_overdue(context)),
            "referral retention": every(86_400.0, lambda: retention.delete_old(context)),
            "referral offers": every(86_400.0, lambda: offering.forget_ended(context)),
            "referral notices": every(86_400.0, lambda: feeds.forget_notices(context)),
            "referral webhooks": deliveries.loop(context, to_agencies),
        },
    )


def _handlers(context: Context) -> dict[str, Handler]:
    return {
        "referral.sealed.v1": partial(handlers.open_referral, context),
        **dict.fromkeys(ANSWERS, partial(handlers.answer, context)),
        "offer.opened.v1": partial(offering.open_offer, context),
        "offer.claimed.v1": partial(offering.claim_offer, context),
        "offer.declined.v1": partial(offering.decline_offer, context),
        "offer.closed.v1": partial(offering.close_offer, context),
        "capacity.declared.v1": handlers.keep_service,
        "grant.ended.v1": partial(handlers.withdraw, context),
        "sender.shut_out.v1": partial(handlers.stand_still, context),
        "statistics.withdrawn.v1": handlers.forget_pseudonyms,
        "disclosure.made.v1": handlers.note_disclosure,
        "notice.made.v1": partial(feeds.note_notice, context),
        "agency.changed.v1": models.roster.take,
    }
