"""Tables of the ledger: entries, the tree over them, checkpoints, witnesses, and the keys that seal entries."""

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, Uuid

from services.common.database.column_types import BigId, Instant
from services.consent.models.base import metadata

# Her key for the sealed half of her ledger entries. `wrapped` is NULL once she is erased: then nobody can read them.
audit_key = Table(
    "audit_key",
    metadata,
    Column("subject_id", Uuid, primary_key=True),
    Column("key_encryption_key", Integer, nullable=False),
    Column("wrapped", LargeBinary),
    Column("destroyed_at", Instant),
)

# When each key-encryption key was first seen, and when its file was destroyed. The keys themselves are outside the database.
key_encryption_key = Table(
    "key_encryption_key",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("seen_at", Instant, nullable=False),
    Column("destroyed_at", Instant),
)

# Ordered as the acts recorded themselves. `leaf` is public and holds commitments only; `sealed` is for her alone.
# Erasing clears `subject_id` and `sealed` and keeps the row. `leaf_index` is NULL until the tree contains the leaf.
ledger_entry = Table(
    "ledger_entry",
    metadata,
    Column("position", BigId, primary_key=True),
    Column("leaf_index", BigId, index=True),
    Column("at", Instant, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("subject_id", Uuid, index=True),
    Column("leaf", LargeBinary, nullable=False),
    # The public leaf, with the first entry of an act only; the others share it.
    Column("tree_leaf", LargeBinary),
    # Random, and the same for the entries of one act; NULL if it has only one, and once she is erased.
    Column("act", BigId),
    Column("sealed", LargeBinary),
    # Names the run of repeats that begins with this entry, keyed with her ledger key; NULL for entries that begin none.
    Column("run", String(43)),
)
_waits = ledger_entry.c.leaf_index.is_(None) & ledger_entry.c.tree_leaf.is_not(None)
Index("ledger_entry_waiting", ledger_entry.c.position, postgresql_where=_waits, sqlite_where=_waits)
_shares = ledger_entry.c.act.is_not(None)
Index("ledger_entry_act", ledger_entry.c.act, postgresql_where=_shares, sqlite_where=_shares)
_begins = ledger_entry.c.run.is_not(None)
Index("ledger_entry_run", ledger_entry.c.run, postgresql_where=_begins, sqlite_where=_begins)

# How often an entry's act was repeated, and when last. Rows exist only for entries that were repeated, and end with her.
# Without a foreign key: it would make each count wait for the tree, which updates the entry.
ledger_repeat = Table(
    "ledger_repeat",
    metadata,
    Column("position", BigId, primary_key=True, autoincrement=False),
    Column("times", BigId, nullable=False),
    Column("last_at", Instant, nullable=False),
)

# The tree's right edge. Only the transaction that holds this row's lock may grow the tree.
ledger_head = Table(
    "ledger_head",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("size", BigId, nullable=False),
    Column("edge", LargeBinary, nullable=False),
)

# The tree's hashes, 256 to a tile. The last tile of each level grows until it is full.
ledger_tile = Table(
    "ledger_tile",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("number", BigId, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)

ledger_checkpoint = Table(
    "ledger_checkpoint",
    metadata,
    Column("size", BigId, primary_key=True, autoincrement=False),
    Column("root", LargeBinary(32), nullable=False),
    Column("note", Text, nullable=False),
    Column("made_at", Instant, nullable=False),
)

# The newest cosignature of each witness, and its key.
ledger_witness = Table(
    "ledger_witness",
    metadata,
    Column("agency", String(64), primary_key=True),
    Column("key", Text, nullable=False),
    Column("size", ForeignKey(ledger_checkpoint.c.size), nullable=False, index=True),
    Column("line", Text, nullable=False),
)
