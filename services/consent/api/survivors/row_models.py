"""Common parts of the response models for survivors: a base that is filled from a row, and ISO 8601 times and days."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, WithJsonSchema


def _iso(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


IsoTime = Annotated[str, BeforeValidator(_iso), WithJsonSchema({"type": "string", "format": "date-time"})]
IsoDate = Annotated[str, WithJsonSchema({"type": "string", "format": "date"})]


class RowModel(BaseModel):
    """An answer, or a part of one, that shows columns of a row; a member's `validation_alias` names its column."""

    @classmethod
    def of(cls, row: Any, **more: object) -> Self:
        """Return the model filled from a row; `more` holds the members that are not in the row."""
        columns = [str(field.validation_alias or name) for name, field in cls.model_fields.items() if name not in more]
        return cls(**more, **{column: getattr(row, column) for column in columns})
