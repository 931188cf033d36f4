"""Puts reporting together; nothing else happens here."""

from services.common import health
from services.common.clock import Clock, SystemClock
from services.common.database import Database
from services.common.service import Service
from services.common.settings import Settings
from services.common.web import create_app
from services.reporting import handlers, models, pages
from services.reporting.room import Room

NAME = "reporting"


def build(settings: Settings, clock: Clock | None = None) -> Service:
    """The service with everything it works with."""
    clock = clock or SystemClock()
    room = Room(Database(settings.database(NAME)), clock)
    routers = [pages.routes, health.router("/reporting", room.database)]
    return Service(
        name=NAME,
        settings=settings,
        clock=clock,
        database=room.database,
        metadata=models.metadata,
        plumbing=models.plumbing,
        handlers={
            "capacity.declared.v1": handlers.keep_capacity,
            "referral.updated.v1": handlers.count_referral,
            "need.counted.v1": handlers.count_need,
            "statistics.withdrawn.v1": handlers.withdraw,
        },
        app=create_app("Fireweed reporting", "What services can take, and which needs go unmet.", routers, room=room),
        prefixes=("/reporting",),
    )
