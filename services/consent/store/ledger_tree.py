"""Queries on the ledger's tree: its edge, its tiles, its leaves, and what was signed of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, func, select, update

from services.common.database.inserts import insert_new, upsert
from services.common.transparency_log.merkle import Edge
from services.common.transparency_log.tiles import HASH, WIDTH
from services.consent.models import ledger_checkpoint, ledger_entry, ledger_head, ledger_tile, ledger_witness

AnyRow = Row[tuple[Any, ...]]


def waits(connection: Connection) -> bool:
    """Whether a line waits for its place."""
    return bool(connection.scalar(select(exists().where(ledger_entry.c.leaf_index.is_(None)))))


def oldest_waiting(connection: Connection) -> datetime | None:
    """Since when the line that waits longest for its place has waited."""
    query = select(ledger_entry.c.at).where(ledger_entry.c.leaf_index.is_(None))
    found: datetime | None = connection.scalar(query.order_by(ledger_entry.c.position).limit(1))
    return found


def is_unsigned(connection: Connection) -> bool:
    """Whether the tree is another than the one that was signed last."""
    last = select(func.max(ledger_checkpoint.c.size)).scalar_subquery()
    return bool(connection.scalar(select(last.is_distinct_from(ledger_head.c.size))))


def hold_edge(connection: Connection) -> Edge:
    """The tree's edge; nobody else grows the tree until the transaction ends."""
    row = connection.execute(select(ledger_head).with_for_update()).one()
    hashes = tuple(row.edge[start : start + HASH] for start in range(0, len(row.edge), HASH))
    return Edge(row.size, hashes)


def keep_edge(connection: Connection, edge: Edge) -> None:
    """The edge after growing."""
    connection.execute(update(ledger_head).values(size=edge.size, edge=b"".join(edge.hashes)))


def place_waiting(connection: Connection, size: int, limit: int) -> list[bytes]:
    """Give lines that wait their places after the first `size`, in the order of their positions; their leaves."""
    waiting = select(ledger_entry.c.position).where(ledger_entry.c.leaf_index.is_(None))
    some = waiting.order_by(ledger_entry.c.position).limit(limit).subquery()
    place = func.row_number().over(order_by=some.c.position) + (size - 1)
    placed = select(some.c.position, place.label("place")).subquery()
    placing = update(ledger_entry).where(ledger_entry.c.position == placed.c.position)
    returning = placing.values(leaf_index=placed.c.place).returning(ledger_entry.c.leaf_index, ledger_entry.c.leaf)
    return [leaf for _, leaf in sorted(tuple(row) for row in connection.execute(returning))]


def add_hashes(connection: Connection, level: int, first: int, hashes: Sequence[bytes]) -> None:
    """Put hashes into the tiles of a level, where the first of them has that place."""
    rest = b"".join(hashes)
    number, filled = divmod(first, WIDTH)
    start = (tile_bytes(connection, level, number) or b"")[: filled * HASH] if filled else b""
    whole = start + rest
    size = WIDTH * HASH
    rows = [
        {"level": level, "number": number + step, "hashes": whole[step * size : (step + 1) * size]}
        for step in range(-(-len(whole) // size))
    ]
    upsert(connection, ledger_tile, rows)


def tile_bytes(connection: Connection, level: int, number: int) -> bytes | None:
    """A tile's hashes, as many as there are by now."""
    mine = (ledger_tile.c.level == level, ledger_tile.c.number == number)
    found: bytes | None = connection.scalar(select(ledger_tile.c.hashes).where(*mine))
    return found


def leaves(connection: Connection, first: int, count: int) -> list[bytes]:
    """Leaves in the tree's order, as many as there are."""
    mine = (ledger_entry.c.leaf_index >= first, ledger_entry.c.leaf_index < first + count)
    return list(connection.scalars(select(ledger_entry.c.leaf).where(*mine).order_by(ledger_entry.c.leaf_index)))


def newest_checkpoint(connection: Connection) -> AnyRow | None:
    """What was signed last."""
    query = select(ledger_checkpoint).order_by(ledger_checkpoint.c.size.desc()).limit(1)
    return connection.execute(query).one_or_none()


def newest_cosigned(connection: Connection) -> AnyRow | None:
    """The newest checkpoint that a witness has cosigned."""
    query = select(ledger_checkpoint).where(ledger_checkpoint.c.size.in_(select(ledger_witness.c.size)))
    return connection.execute(query.order_by(ledger_checkpoint.c.size.desc()).limit(1)).one_or_none()


def checkpoint_of(connection: Connection, size: int) -> AnyRow | None:
    """What was signed at that size."""
    return connection.execute(select(ledger_checkpoint).where(ledger_checkpoint.c.size == size)).one_or_none()


def add_checkpoint(connection: Connection, size: int, root: bytes, note: str, now: datetime) -> None:
    """A new signed checkpoint."""
    insert_new(connection, ledger_checkpoint, [{"size": size, "root": root, "note": note, "made_at": now}])


def forget_checkpoints(connection: Connection, before: datetime) -> None:
    """Remove older checkpoints, but never the newest, nor one that a witness has cosigned."""
    newest = select(func.max(ledger_checkpoint.c.size)).scalar_subquery()
    old = (ledger_checkpoint.c.made_at < before, ledger_checkpoint.c.size < newest)
    kept = ledger_checkpoint.c.size.in_(select(ledger_witness.c.size))
    connection.execute(delete(ledger_checkpoint).where(*old, ~kept))


def witness(connection: Connection, agency: str) -> AnyRow | None:
    """What an agency has cosigned last."""
    return connection.execute(select(ledger_witness).where(ledger_witness.c.agency == agency)).one_or_none()


def keep_witness(connection: Connection, row: dict[str, object]) -> None:
    """An agency's cosignature, in place of its last."""
    upsert(connection, ledger_witness, [row])


def cosignatures(connection: Connection, size: int) -> list[str]:
    """The lines by which witnesses have cosigned a checkpoint."""
    query = select(ledger_witness.c.line).where(ledger_witness.c.size == size)
    return list(connection.scalars(query.order_by(ledger_witness.c.agency)))
