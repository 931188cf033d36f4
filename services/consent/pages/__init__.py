"""Her pages at `/my`: what she sees and holds. Each page calls the handlers that the JSON face calls."""

from services.consent.pages import copies, files, keys, limits, mine, papers, sharing, way_in, workers
from services.consent.pages.visits import show_trouble

__all__ = ["ROUTERS", "show_trouble"]

ROUTERS = (
    way_in.routes,
    sharing.routes,
    limits.routes,
    mine.routes,
    copies.routes,
    papers.routes,
    keys.routes,
    files.routes,
    workers.routes,
    workers.pages,
)
