"""The route by which agencies record what a law compelled them to share; separate from every route that opens."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from services.common.auth.access_tokens import Caller
from services.common.auth.limited_acts import limited
from services.common.http.request_models import Body
from services.common.instants import read_date
from services.consent.api.dependencies import ContextDep
from services.consent.handlers.agencies import compelled

routes = APIRouter(prefix="/consent/v1", tags=["agencies"])


def _full_date(value: object) -> date:
    day = read_date(value)
    if day is None:
        raise PydanticCustomError("full_date", "Must be a day such as 2026-06-01 (RFC 3339 full-date).")
    return day


Day = Annotated[date, BeforeValidator(_full_date)]


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
    disclosed_on: Day
    approvers: list[Approver] = Field(min_length=2, max_length=2)
    sealed_until: Day | None = Field(
        None, description="Only if the law forbids that she knows: the day on which she is shown what is in it."
    )


class Recorded(BaseModel):
    """The record's id."""

    record: str


@routes.post("/compelled-disclosures", status_code=201, dependencies=[limited("records")])
def record(context: ContextDep, agency: Caller, body: Compelled) -> Recorded:
    """Record what you shared under your own legal duty. She sees it at once, or that something is sealed and until when."""
    approvers = [compelled.Approver(one.initials, one.role) for one in body.approvers]
    made = compelled.Record(
        body.basis, body.authority, body.categories, body.disclosed_on, approvers, body.sealed_until
    )
    return Recorded(record=str(compelled.record(context, agency, body.ppid, made)))
