"""Refuses query members that a route does not know, and members that are given twice."""

from collections import Counter
from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel

from services.common.errors import Fault, invalid


def check_query(request: Request) -> None:
    """Raise a 400 problem unless each member of the query is one that the route reads, given once.

    A misspelt filter would otherwise answer with everything, and a misspelt `dry-run` would send what was to be tried out.
    """
    given = Counter(name for name, _ in request.query_params.multi_items())
    if not given:
        return
    known = query_members(request.scope["route"].dependant)
    accepted = ", ".join(sorted(known)) or "a URL without a query"
    # The name is not repeated: it may hold personal data.
    if given.keys() - known:
        raise invalid(Fault("query", "The query has a member that is not known here.", accepted))
    if twice := sorted(name for name, times in given.items() if times > 1):
        raise invalid(*(Fault(f"query {name}", "Given twice.", "each member once") for name in twice))


def query_members(dependant: Dependant) -> frozenset[str]:
    """Return the names of the query members that a route and its dependencies read."""
    return frozenset(_members(dependant))


def _members(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        model = field.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from (inner.alias or name for name, inner in model.model_fields.items())
        else:
            yield field.alias
    for inner in dependant.dependencies:
        yield from _members(inner)
