"""Puts reporting together; nothing else happens here."""

from functools import partial

from services.common import health
from services.common.clock import Clock, SystemClock
from services.common.database import Database
from services.common.service import Service
from services.common.settings import Settings
from services.common.web import create_app
from services.common.worker import every
from services.reporting import handlers, models, publications
from services.reporting.contributors import contributors
from services.reporting.frozen import FrozenShelf
from services.reporting.pages import routes as pages
from services.reporting.pages.holdings import RECENT_SECONDS, Holdings
from services.reporting.pages.made import look_ahead
from services.reporting.room import Room

NAME = "reporting"
# Twice in the time for which a look counts, so that no request has to look by itself.
LOOK_SECONDS = RECENT_SECONDS / 2


def build_room(settings: Settings, clock: Clock | None = None) -> Room:
    """What reporting works with."""
    keys = contributors(settings.keys_folder / NAME)
    return Room(Database(settings.database(NAME)), clock or SystemClock(), keys)


def build(settings: Settings, clock: Clock | None = None) -> Service:
    """The service with everything it works with."""
    room = build_room(settings, clock)
    fold = partial(handlers.fold, room.contributors)
    # In this order: a page's address is a language and a name, which others could be taken for.
    routers = [publications.routes, health.router("/reporting", room.database), pages.routes]
    holdings = Holdings(FrozenShelf(room.database))
    return Service(
        name=NAME,
        settings=settings,
        clock=room.clock,
        database=room.database,
        metadata=models.metadata,
        plumbing=models.plumbing,
        handlers={"agency.changed.v1": models.roster.take, "capacity.declared.v1": handlers.keep_capacity},
        folds={
            "referral.updated.v1": fold,
            "need.counted.v1": fold,
            "statistics.withdrawn.v1": partial(handlers.withdraw, room.contributors),
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
        api_loops={"look ahead": every(LOOK_SECONDS, partial(look_ahead, holdings))},
    )
