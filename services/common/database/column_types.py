"""The kinds of columns that both databases keep alike."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, String
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine

BigId = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit key that both databases can number by themselves."""

Json = JSON().with_variant(postgresql.JSONB(), "postgresql")


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime; SQLite keeps no zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """To the database: always UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """From the database: always aware."""
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


class Codes(TypeDecorator[list[str]]):
    """A list of codes; whatever else stands in its place names none, and whoever reads it goes on."""

    impl = Json
    cache_ok = True

    def process_result_value(self, value: Any, _dialect: Dialect) -> list[str]:
        """From the database: always a list of texts."""
        return value if isinstance(value, list) and all(isinstance(code, str) for code in value) else []


class Code(TypeDecorator[str]):
    """A code that is compared by its bytes, as in Python: several times faster than by the rules of some language."""

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """SQLite compares by bytes anyway."""
        kind = String(self.length, "C" if dialect.name == "postgresql" else None)
        return dialect.type_descriptor(kind)
