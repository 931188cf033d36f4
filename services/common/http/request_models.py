"""The base model of JSON request bodies; the model of each body is defined beside its route."""

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

MOST_MEMBERS = 1000


class Body(BaseModel):
    """A request body, or a part of one: unknown members are refused, and errors never repeat values."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _not_too_many(cls, given: object) -> object:
        # Each member can be a fault. To report 400,000 of them takes ten seconds, in which no other request is served.
        objects = [given, *given.values()] if isinstance(given, dict) else []
        if any(isinstance(one, dict) and len(one) > MOST_MEMBERS for one in objects):
            raise PydanticCustomError("too_many_members", "There are far too many members here.")
        return given
