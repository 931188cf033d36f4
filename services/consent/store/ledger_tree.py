"""Queries on the ledger's tree: its edge, tiles and leaves, and the checkpoints that were signed of it."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exists, func, select, update

from services.common.database.inserts import insert_new, upsert
from services.common.database.list_parameters import listed, one_of
from services.common.transparency_log.merkle import Edge
from services.common.transparency_log.tiles import HASH, WIDTH
from services.consent.models import ledger_checkpoint, ledger_entry, ledger_head, ledger_tile, ledger_witness

AnyRow = Row[tuple[Any, ...]]
_WAITING = (ledger_entry.c.leaf_index.is_(None), ledger_entry.c.tree_leaf.is_not(None))


def waits(connection: Connection) -> bool:
    """Tell whether an entry waits for its place in the tree."""
    return bool(connection.scalar(select(exists().where(*_WAITING))))


def oldest_waiting(connection: Connection) -> datetime | None:
    """Return the time of the oldest entry that waits for its place; None if none waits."""
    query = select(ledger_entry.c.at).where(*_WAITING)
    found: datetime | None = connection.scalar(query.order_by(ledger_entry.c.position).limit(1))
    return found


def is_unsigned(connection: Connection) -> bool:
    """Tell whether the tree has grown since it was signed last."""
    last = select(func.max(ledger_checkpoint.c.size)).scalar_subquery()
    return bool(connection.scalar(select(last.is_distinct_from(ledger_head.c.size))))


def hold_edge(connection: Connection) -> Edge:
    """Lock and return the tree's edge; nobody else grows the tree until the transaction ends."""
    row = connection.execute(select(ledger_head).with_for_update()).one()
    hashes = tuple(row.edge[start : start + HASH] for start in range(0, len(row.edge), HASH))
    return Edge(row.size, hashes)


def keep_edge(connection: Connection, edge: Edge) -> None:
    """Store the edge after growing."""
    connection.execute(update(ledger_head).values(size=edge.size, edge=b"".join(edge.hashes)))


def place_waiting(connection: Connection, size: int, limit: int) -> list[bytes]:
    """Give waiting acts their places after the first `size`, in the order of their positions; return their leaves."""
    waiting = select(ledger_entry.c.position).where(*_WAITING)
    some = waiting.order_by(ledger_entry.c.position).limit(limit).subquery()
    place = func.row_number().over(order_by=some.c.position) + (size - 1)
    placed = select(some.c.position, place.label("place")).subquery()
    placing = update(ledger_entry).where(ledger_entry.c.position == placed.c.position)
    columns = (ledger_entry.c.leaf_index, ledger_entry.c.tree_leaf, ledger_entry.c.act)
    found = connection.execute(placing.values(leaf_index=placed.c.place).returning(*columns)).all()
    shared = [{"shared": row.act, "place": row.leaf_index} for row in found if row.act is not None]
    if shared:
        rest = update(ledger_entry).where(ledger_entry.c.act == bindparam("shared"))
        connection.execute(rest.values(leaf_index=bindparam("place")), shared)
    return [leaf for _, leaf in sorted((row.leaf_index, row.tree_leaf) for row in found)]


def add_padding(connection: Connection, size: int, leaves: Sequence[bytes], now: datetime) -> None:
    """Add leaves that stand for no act, with their places after the first `size`."""
    rows = [
        {"leaf_index": size + place, "at": now, "kind": "padding", "leaf": leaf, "tree_leaf": leaf}
        for place, leaf in enumerate(leaves)
    ]
    if rows:
        connection.execute(ledger_entry.insert(), rows)


def leaves_of_acts(connection: Connection, acts: Collection[int]) -> dict[int, list[tuple[int, bytes]]]:
    """Return positions and leaves of the entries of each act, in their order."""
    query = select(ledger_entry.c.act, ledger_entry.c.position, ledger_entry.c.leaf)
    query = query.where(one_of(ledger_entry.c.act, "acts")).order_by(ledger_entry.c.act, ledger_entry.c.position)
    found: dict[int, list[tuple[int, bytes]]] = {}
    for act, position, leaf in connection.execute(query, {"acts": listed(acts)}):
        found.setdefault(act, []).append((position, leaf))
    return found


def add_hashes(connection: Connection, level: int, first: int, hashes: Sequence[bytes]) -> None:
    """Append hashes to the tiles of a level, the first of them at place `first`."""
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
    """Return a tile's hashes, as many as there are by now; None without the tile."""
    mine = (ledger_tile.c.level == level, ledger_tile.c.number == number)
    found: bytes | None = connection.scalar(select(ledger_tile.c.hashes).where(*mine))
    return found


def leaves(connection: Connection, first: int, count: int) -> list[bytes]:
    """Return leaves in the tree's order, as many as there are."""
    mine = (ledger_entry.c.leaf_index >= first, ledger_entry.c.leaf_index < first + count)
    query = select(ledger_entry.c.tree_leaf).where(*mine, ledger_entry.c.tree_leaf.is_not(None))
    return list(connection.scalars(query.order_by(ledger_entry.c.leaf_index)))


def newest_checkpoint(connection: Connection) -> AnyRow | None:
    """Return the newest checkpoint."""
    query = select(ledger_checkpoint).order_by(ledger_checkpoint.c.size.desc()).limit(1)
    return connection.execute(query).one_or_none()


def newest_cosigned(connection: Connection) -> AnyRow | None:
    """Return the newest checkpoint that a witness has cosigned."""
    query = select(ledger_checkpoint).where(ledger_checkpoint.c.size.in_(select(ledger_witness.c.size)))
    return connection.execute(query.order_by(ledger_checkpoint.c.size.desc()).limit(1)).one_or_none()


def checkpoint_of(connection: Connection, size: int) -> AnyRow | None:
    """Return the checkpoint of that size."""
    return connection.execute(select(ledger_checkpoint).where(ledger_checkpoint.c.size == size)).one_or_none()


def add_checkpoint(connection: Connection, size: int, root: bytes, note: str, now: datetime) -> None:
    """Add a signed checkpoint."""
    insert_new(connection, ledger_checkpoint, [{"size": size, "root": root, "note": note, "made_at": now}])


def forget_checkpoints(connection: Connection, before: datetime) -> None:
    """Remove older checkpoints, but never the newest, nor one that a witness has cosigned."""
    newest = select(func.max(ledger_checkpoint.c.size)).scalar_subquery()
    old = (ledger_checkpoint.c.made_at < before, ledger_checkpoint.c.size < newest)
    kept = ledger_checkpoint.c.size.in_(select(ledger_witness.c.size))
    connection.execute(delete(ledger_checkpoint).where(*old, ~kept))


def witness(connection: Connection, agency: str) -> AnyRow | None:
    """Return an agency's newest cosignature."""
    return connection.execute(select(ledger_witness).where(ledger_witness.c.agency == agency)).one_or_none()


def keep_witness(connection: Connection, row: dict[str, object]) -> None:
    """Store an agency's cosignature in place of its last."""
    upsert(connection, ledger_witness, [row])


def cosignatures(connection: Connection, size: int) -> list[str]:
    """Return the text lines by which witnesses have cosigned a checkpoint."""
    query = select(ledger_witness.c.line).where(ledger_witness.c.size == size)
    return list(connection.scalars(query.order_by(ledger_witness.c.agency)))
