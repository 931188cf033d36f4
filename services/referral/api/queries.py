"""Query members that several routes take: a page's cursor; a member that a route does not know is refused."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field

from services.common.errors import Fault, invalid
from services.common.http.dependencies import from_state
from services.referral.context import Context
from services.referral.store.feed import AnyRow

MOST_NUMBER = 2**63 - 1
ContextDep = Annotated[Context, Depends(from_state("context"))]


class StrictQuery(BaseModel):
    """The query of a route: unknown members are refused, since a misspelt one would silently do nothing."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class PageQuery(StrictQuery):
    """Which page of a list."""

    cursor: str | None = Field(None, max_length=24, description="The `next` of the page before; none for the first.")

    def place(self) -> int:
        """Return the place after which the page begins; raise 400 for what is no cursor."""
        if self.cursor is None:
            return 0
        if not (self.cursor.isascii() and self.cursor.isdecimal() and int(self.cursor) <= MOST_NUMBER):
            raise invalid(Fault("query cursor", "Not a cursor.", "the `next` of a page"))
        return int(self.cursor)


def next_of(rows: Sequence[AnyRow], most: int) -> str | None:
    """Return the cursor of the page after these rows; None if they are the last."""
    return str(rows[-1].place) if len(rows) == most else None
