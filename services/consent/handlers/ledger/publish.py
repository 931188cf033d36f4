"""Grows the ledger's tree by what was recorded, signs it, and proves what it holds."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import lru_cache

from sqlalchemy import Connection

from services.common.errors import Transient, not_found
from services.common.transparency_log.merkle import (
    Node,
    consistency_proof,
    grow,
    inclusion_proof,
    is_consistent,
    leaf_hash,
)
from services.common.transparency_log.signed_notes import Proof
from services.common.transparency_log.tiles import ENTRIES, HASH, STEP, bundled, reader, tile_at
from services.consent.context import Context
from services.consent.ledger.commitments import committed_leaf, padding_leaf, way_to_act
from services.consent.ledger.entries import RecordedEntry
from services.consent.store import ledger_tree as store

BATCH = 2000
EVEN = 4
"""A checkpoint covers a multiple of so many leaves: the number of acts in a quiet second is not told."""
CHECKPOINTS_KEPT = timedelta(days=2)
"""Time that a witness may take to cosign a checkpoint."""


class HistoryChanged(Transient):
    """The tree does not begin with the one that was signed before: an operator must look before anything is signed."""


def publish(context: Context) -> None:
    """Add all waiting entries to the tree, then sign it. Any number of processes may do so at once."""
    with context.database.reading() as connection:
        waiting, unsigned = store.waits(connection), store.is_unsigned(connection)
    while waiting and integrate(context) == BATCH:
        pass
    if waiting or unsigned:
        sign(context)


def integrate(context: Context) -> int:
    """Add waiting acts to the tree, in order and without a gap, and padding; return how many acts, at most a batch."""
    with context.database.transaction() as connection:
        edge = store.hold_edge(connection)
        leaves = store.place_waiting(connection, edge.size, BATCH)
        if leaves:
            size = edge.size + len(leaves)
            padding = [padding_leaf() for _ in range(-size % EVEN)]
            store.add_padding(connection, size, padding, context.clock.now())
            grown, completed = grow(edge, map(leaf_hash, [*leaves, *padding]))
            for level, hashes in completed.items():
                store.add_hashes(connection, level, edge.size >> STEP * level, hashes)
            store.keep_edge(connection, grown)
    return len(leaves)


def sign(context: Context) -> None:
    """Sign the tree if it has grown; raise `HistoryChanged` unless it begins with the one signed before."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        edge = store.hold_edge(connection)
        last = store.newest_checkpoint(connection)
        if last and last.size == edge.size and last.root == edge.root():
            return
        if last and not begins_with(connection, (last.size, last.root), (edge.size, edge.root())):
            raise HistoryChanged(f"the tree of {edge.size} leaves does not begin with that of {last.size}")
        note = context.ledger_key.checkpoint(edge.size, edge.root())
        store.add_checkpoint(connection, edge.size, edge.root(), note, now)
        store.forget_checkpoints(connection, now - CHECKPOINTS_KEPT)


def checkpoint(context: Context, *, cosigned: bool = False) -> str:
    """Return the newest checkpoint, or the newest that a witness has cosigned, with all its cosignatures; raise 404."""
    with context.database.reading() as connection:
        return _checkpoint(connection, cosigned=cosigned)


def tile(context: Context, path: str) -> bytes:
    """Return a tile or a bundle of entries by its path below `tile/`; raise 404 while it is not complete."""
    try:
        wanted = tile_at(path)
    except ValueError as error:
        raise not_found() from error
    with context.database.reading() as connection:
        if wanted.level == ENTRIES:
            leaves = store.leaves(connection, wanted.first, wanted.width)
            found, full = bundled(leaves), len(leaves) == wanted.width
        else:
            found = (store.tile_bytes(connection, wanted.level, wanted.index) or b"")[: wanted.width * HASH]
            full = len(found) == wanted.width * HASH
    if not full:
        raise not_found()
    return found


def prove(connection: Connection, entries: Sequence[RecordedEntry]) -> list[Proof | None]:
    """Return proofs for a survivor's entries, in order, against the newest cosigned or else the newest checkpoint.

    None for one that is not in a signed tree, and for one without salt: nobody can read that any more.
    """
    rows = [store.newest_cosigned(connection), store.newest_checkpoint(connection)]
    acts = store.leaves_of_acts(connection, {entry.act for entry in entries if entry.act is not None})
    node = nodes(connection)

    def proof(entry: RecordedEntry) -> Proof | None:
        index = entry.leaf_index
        row = next((row for row in rows if row and index is not None and index < row.size), None)
        if row is None or index is None or not entry.salt:
            return None
        hashes, head = tuple(inclusion_proof(index, row.size, node)), _with_cosignatures(connection, row)
        return Proof(index, hashes, head, _way(entry, acts))

    return [proof(entry) for entry in entries]


def proofs(context: Context, entries: Sequence[RecordedEntry]) -> list[str | None]:
    """Return proofs for several entries as texts, in order."""
    with context.database.reading() as connection:
        return [str(proof) if proof else None for proof in prove(connection, entries)]


def _way(entry: RecordedEntry, acts: Mapping[int, Sequence[tuple[int, bytes]]]) -> bytes:
    """Return the way from an entry to the public leaf of its act."""
    if entry.act is None:
        return way_to_act([committed_leaf(entry.record, entry.salt)], 0)
    found = acts[entry.act]
    return way_to_act([leaf for _, leaf in found], [position for position, _ in found].index(entry.position))


def nodes(connection: Connection) -> Node:
    """Return a reader of the tree's hashes, which takes them from its tiles."""

    @lru_cache(64)
    def tile_hashes(level: int, number: int) -> bytes:
        return store.tile_bytes(connection, level, number) or b""

    return reader(tile_hashes)


def begins_with(connection: Connection, old: tuple[int, bytes], new: tuple[int, bytes]) -> bool:
    """Tell whether the tree `new` (size, root) begins with the tree `old`, by the tiles that are stored."""
    if not 0 < old[0] <= new[0]:
        return old[0] == 0
    return is_consistent(old, new, consistency_proof(old[0], new[0], nodes(connection)))


def _checkpoint(connection: Connection, *, cosigned: bool) -> str:
    row = store.newest_cosigned(connection) if cosigned else store.newest_checkpoint(connection)
    if row is None:
        raise not_found()
    return _with_cosignatures(connection, row)


def _with_cosignatures(connection: Connection, row: store.AnyRow) -> str:
    return "".join([row.note, *(f"{line}\n" for line in store.cosignatures(connection, row.size))])
