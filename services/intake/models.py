"""The tables of intake: agencies and results of posted events; no part's content, clear or sealed."""

from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table

from services.common.database.column_types import Instant, Json
from services.common.service_tables import define_plumbing

metadata = MetaData()
plumbing = define_plumbing(metadata)

agency = Table(
    "agency",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(120), nullable=False),
    Column("sector", String(32), nullable=False),
    Column("standing", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("jwks", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
)

posted = Table(
    "posted_event",
    metadata,
    # The id comes first: with the source first, PostgreSQL would read everything that one agency ever posted to find a few
    # rows, until it has statistics of the table.
    Column("id", String(128), primary_key=True),
    Column("source", String(64), primary_key=True),
    Column("type", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason", String(64)),
    Column("parts", Json, nullable=False),
    Column("reasons", Json),  # by category, why a part was withheld; NULL where no reason is told
    Column("thread", String(64)),  # the referral or offer it belongs to
    Column("digest", LargeBinary(32), nullable=False),  # keyed, so that nobody can guess the posted content from it
    Column("received_at", Instant, nullable=False),
)
