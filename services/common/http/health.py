"""Liveness and readiness routes, for an orchestrator only."""

from collections.abc import Callable

from fastapi import APIRouter
from sqlalchemy import text

from services.common.database.engine import Database
from services.common.errors import unavailable


def router(prefix: str, database: Database, ready: Callable[[], bool] = lambda: True) -> APIRouter:
    """Return the routes `/health/live`, which answers while the process runs, and `/health/ready`.

    `/health/ready` answers 503 while the database does not answer or `ready` returns False.
    """
    routes = APIRouter(prefix=f"{prefix}/health", include_in_schema=False)

    @routes.get("/live")
    def live() -> dict[str, str]:
        return {"status": "live"}

    @routes.get("/ready")
    def is_ready() -> dict[str, str]:
        with database.reading() as connection:
            connection.execute(text("SELECT 1"))
        if not ready():
            raise unavailable("Not ready yet.")
        return {"status": "ready"}

    return routes
