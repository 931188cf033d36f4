"""Routes for second looks, by agencies that a young person has named."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from services.common.auth.access_tokens import Caller
from services.common.auth.limited_acts import limited
from services.common.http.request_models import Body
from services.consent.api.dependencies import ContextDep
from services.consent.handlers.grants import second_looks

routes = APIRouter(prefix="/consent/v1/second-looks", tags=["agencies"])


class SecondLook(Body):
    """The result of your second look."""

    agree: bool


@routes.get("", dependencies=[limited("reads")])
def waiting(context: ContextDep, agency: Caller) -> dict[str, Any]:
    """List the grants that wait for your second look, oldest first."""
    return {
        "waiting": [
            {
                "id": str(row.id),
                "ppid": ppid,
                **{name: getattr(row, name) for name in ("agency", "purpose", "categories", "days")},
                "asked_at": row.asked_at.isoformat(),
                "open_until": row.open_until.isoformat(),
            }
            for row, ppid in second_looks.second_looks_for(context, agency)
        ]
    }


@routes.post("/{name}", status_code=204, dependencies=[limited("answers")])
def give_second_look(context: ContextDep, agency: Caller, name: UUID, body: SecondLook) -> None:
    """Answer yes, after you have looked at it with her, or no. Only a yes makes her grant."""
    second_looks.give_second_look(context, agency, name, agree=body.agree)
