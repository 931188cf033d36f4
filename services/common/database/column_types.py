"""Column types that behave the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, String
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine

BigId = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit key that both databases can generate."""

Json = JSON().with_variant(postgresql.JSONB(), "postgresql")


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime; SQLite stores no time zone, so it is added when a value is read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Convert a value to UTC before it is stored."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Return a stored value as an aware datetime in UTC."""
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


class Codes(TypeDecorator[list[str]]):
    """A list of codes; any other stored JSON is read as an empty list, so that its reader can go on."""

    impl = Json
    cache_ok = True

    def process_result_value(self, value: Any, _dialect: Dialect) -> list[str]:
        """Return a stored value as a list of texts; an empty list if it is anything else."""
        return value if isinstance(value, list) and all(isinstance(code, str) for code in value) else []


class Code(TypeDecorator[str]):
    """A code that is compared by its bytes, as in Python: several times faster than by the rules of a language."""

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """Return a text type with byte order; SQLite compares by bytes anyway."""
        kind = String(self.length, "C" if dialect.name == "postgresql" else None)
        return dialect.type_descriptor(kind)
