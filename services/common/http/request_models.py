"""What the JSON bodies of requests have in common; what is in each of them stands beside its route."""

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

MOST_MEMBERS = 1000


class Body(BaseModel):
    """A request body, or a part of one: closed, and never echoed in errors."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _not_too_many(cls, given: object) -> object:
        # Each member can be a fault. To find and tell those of 400,000 takes ten seconds, in which nobody else is served.
        objects = [given, *given.values()] if isinstance(given, dict) else []
        if any(isinstance(one, dict) and len(one) > MOST_MEMBERS for one in objects):
            raise PydanticCustomError("too_many_members", "There are far too many members here.")
        return given
