"""Collects every identifier of a survivor from consent's tables, and searches all rows of databases for them afterwards."""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import inspect

from services.common.database.engine import Database

Identifiers = Mapping[str, Collection[str]]
"""Texts to search for, by the table and column that they come from."""
_HEX = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}")
NOT_HERS = {"notice_sha256", "leaf", "tree_leaf"}
"""Columns of values that many share (the hash of the privacy notice), or that are public and stay (leaves of the ledger)."""
TEXTS = {"link.ppid", "notice.ppid", "subject.created_at", "subject.statistics_since"}
SAME = {"subject_id": "subject.id", "grant_id": "consent_grant.id"}


def identifiers(database: Database, subject: UUID) -> Identifiers:
    """Return everything in a survivor's rows that could be found again: ids, digests, keys, ppids, her first times."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for table, row in rows(database):
        owner = row.get("id") if table == "subject" else row.get("subject_id")
        if owner is None or str(owner).replace("-", "") != subject.hex:
            continue
        for column, value in row.items():
            if column not in NOT_HERS and (f"{table}.{column}" in TEXTS or _names(value)):
                found[SAME.get(column, f"{table}.{column}")] |= forms(value)
    return {label: texts - {"None"} for label, texts in found.items()}


def rows(database: Database) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every row of every table with the name of its table, as the driver returns it."""
    with database.reading() as connection:
        for table in inspect(connection).get_table_names():
            for row in connection.exec_driver_sql(f'SELECT * FROM "{table}"').mappings():  # noqa: S608 - a table's own name
                yield table, dict(row)


def search(database: Database, wanted: Identifiers) -> set[tuple[str, str, str]]:
    """Return table, column and label for each place in which an identifier stands."""
    return {
        (table, column, label)
        for table, row in rows(database)
        for column, value in row.items()
        for label, texts in wanted.items()
        if holds(value, texts)
    }


def holds(value: object, texts: Collection[str]) -> bool:
    """Tell whether a value holds one of the texts, in any of its forms."""
    return any(text in form for form in forms(value) for text in texts)


def forms(value: object) -> set[str]:
    """Return a value as texts: UUIDs and bytes also in hexadecimal."""
    if isinstance(value, UUID):
        return {str(value), value.hex}
    if isinstance(value, bytes | memoryview):
        content = bytes(value)
        return {content.hex(), content.decode("latin-1")}
    if isinstance(value, dict | list):
        return {json.dumps(value)}
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value):
        return {value, str(UUID(value))}
    return {str(value)}


def _names(value: object) -> bool:
    if isinstance(value, str):
        return _HEX.fullmatch(value) is not None
    return isinstance(value, UUID) or (isinstance(value, bytes | memoryview) and len(bytes(value)) >= 16)
