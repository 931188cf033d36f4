"""The route by which agencies record what a law compelled them to share; separate from every route that opens."""

from datetime import date

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.common.auth.access_tokens import Caller
from services.common.http.request_models import Body
from services.consent.api.dependencies import ContextDep
from services.consent.handlers.agencies import compelled

routes = APIRouter(prefix="/consent/v1", tags=["agencies"])


class Approver(Body):
    """A person of your agency who approved this, by initials. You keep the names."""

    initials: str = Field(pattern="^[A-Z]{2,4}$")
    role: str = Field(max_length=32, description="A code of `schemas/codes/approver_roles.json`.")


class Compelled(Body):
    """A disclosure that a law compelled. It permits nothing and opens nothing."""

    ppid: str = Field(max_length=64)
    basis: str = Field(max_length=32, description="A code of `schemas/codes/legal_bases.json`.")
    authority: str = Field(max_length=32, description="A code of `schemas/codes/authorities.json`.")
    categories: list[str] = Field(min_length=1, max_length=16)
    disclosed_on: date
    approvers: list[Approver] = Field(min_length=2, max_length=2)
    sealed_until: date | None = Field(
        None, description="Only if the law forbids that she knows: the day on which she is shown what is in it."
    )


class Recorded(BaseModel):
    """The record's id."""

    record: str


@routes.post("/compelled-disclosures", status_code=201)
def record(context: ContextDep, agency: Caller, body: Compelled) -> Recorded:
    """Record what you shared under your own legal duty. She sees it at once, or that something is sealed and until when."""
    approvers = [compelled.Approver(one.initials, one.role) for one in body.approvers]
    made = compelled.Record(
        body.basis, body.authority, body.categories, body.disclosed_on, approvers, body.sealed_until
    )
    return Recorded(record=str(compelled.record(context, agency, body.ppid, made)))
