"""Wires the reporting service; nothing else happens here."""

from functools import partial

from services.common.clock import Clock, SystemClock
from services.common.database.engine import Database
from services.common.http import health
from services.common.http.app import create_app
from services.common.service import Service
from services.common.settings import Settings
from services.common.worker import every
from services.reporting import api, handlers, models
from services.reporting.context import Context
from services.reporting.contributor_keys import contributors
from services.reporting.page_data import DatabaseSource
from services.reporting.pages import routes as pages
from services.reporting.pages.catalogue import RECENT_SECONDS, Holdings
from services.reporting.pages.render import prefetch

NAME = "reporting"
# Twice within the time for which a cached answer is valid, so that no request has to refresh it.
PREFETCH_SECONDS = RECENT_SECONDS / 2


def build_context(settings: Settings, clock: Clock | None = None) -> Context:
    """Return the context of reporting's handlers."""
    keys = contributors(settings.keys_folder / NAME)
    return Context(Database(settings.database(NAME)), clock or SystemClock(), keys)


def build(settings: Settings, clock: Clock | None = None) -> Service:
    """Return the service with everything it works with."""
    context = build_context(settings, clock)
    fold = partial(handlers.fold, context.contributors)
    # The order matters: the address of a page is a language and a name, which would match other routes as well.
    routers = [api.routes, health.router("/reporting", context.database), pages.routes]
    holdings = Holdings(DatabaseSource(context.database))
    return Service(
        name=NAME,
        settings=settings,
        clock=context.clock,
        database=context.database,
        metadata=models.metadata,
        plumbing=models.plumbing,
        handlers={"agency.changed.v1": models.roster.take, "capacity.declared.v1": handlers.keep_capacity},
        folds={
            "referral.updated.v1": fold,
            "need.counted.v1": fold,
            "statistics.withdrawn.v1": partial(handlers.withdraw, context.contributors),
        },
        app=create_app(
            "Fireweed reporting",
            "What services can take, and which needs go unmet.",
            routers,
            show=pages.show_trouble,
            public=True,
            holdings=holdings,
        ),
        prefixes=("/reporting",),
        api_loops={"look ahead": every(PREFETCH_SECONDS, partial(prefetch, holdings))},
    )
