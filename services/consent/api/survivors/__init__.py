"""Routes for survivors as JSON, under `/my/v1`, by subject; the pages do the same acts."""

from services.consent.api.survivors import account, export, permissions, records, sessions

__all__ = ["ROUTERS"]

ROUTERS = (sessions.routes, permissions.routes, records.routes, export.routes, account.routes)
