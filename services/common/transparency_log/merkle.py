"""Merkle trees as RFC 6962 defines them: growth, roots, proofs and their verification. All functions are pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()
Node = Callable[[int, int], bytes]
"""Reads the root of the whole subtree of that height (2^height leaves) at that index among those of its height."""
Range = tuple[int, int]


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf; its prefix makes it differ from that of a node."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Edge:
    """The right edge of a tree, from which it can grow: the roots of its complete subtrees, the largest first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def root(self) -> bytes:
        """Return the root of the tree."""
        if not self.hashes:
            return EMPTY_ROOT
        *left, root = self.hashes
        for hash_ in reversed(left):
            root = node_hash(hash_, root)
        return root


def grow(edge: Edge, leaves: Iterable[bytes], step: int = 8) -> tuple[Edge, Mapping[int, Sequence[bytes]]]:
    """Add leaf hashes; return the new edge, and by level the roots of the subtrees that they completed.

    A level covers `step` of height, as tiles need it; level 0 holds the leaf hashes themselves.
    """
    size, stack = edge.size, list(edge.hashes)
    completed: defaultdict[int, list[bytes]] = defaultdict(list)
    for leaf in leaves:
        hash_, height = leaf, 0
        size += 1
        completed[0].append(hash_)
        while not size >> height & 1:
            hash_ = node_hash(stack.pop(), hash_)
            height += 1
            if height % step == 0:
                completed[height // step].append(hash_)
        stack.append(hash_)
    return Edge(size, tuple(stack)), completed


def folded(hashes: Sequence[bytes]) -> bytes:
    """Return the root over the roots of adjacent subtrees of one height; their number must be a power of two."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[place], row[place + 1]) for place in range(0, len(row), 2)]
    return row[0]


def range_hash(start: int, end: int, node: Node) -> bytes:
    """Return the root over the leaves from `start` to before `end`; a subtree of that size must begin at `start`."""
    size = end - start
    if size & (size - 1) == 0:
        return node(size.bit_length() - 1, start // size)
    middle = start + _split(size)
    return node_hash(range_hash(start, middle, node), range_hash(middle, end, node))


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """Return the hashes from a leaf's sibling up to the root of a tree of `size` leaves (section 2.1.1)."""
    return [range_hash(start, end, node) for start, end in _beside(index, 0, size)]


def consistency_proof(old: int, size: int, node: Node) -> list[bytes]:
    """Return the proof that a tree of `size` leaves begins with that of `old` leaves (section 2.1.2); 0 < old <= size."""
    return [range_hash(start, end, node) for start, end in _kept(old, 0, size, whole=True)]


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes | None:
    """Return the root to which a proof leads; None if no tree of that size has such a proof (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < size:
        return None
    place, last, root = index, size - 1, leaf
    for hash_ in proof:
        if last == 0:
            return None
        if place & 1 or place == last:
            root = node_hash(hash_, root)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            root = node_hash(root, hash_)
        place, last = place >> 1, last >> 1
    return root if last == 0 else None


def is_consistent(old: tuple[int, bytes], new: tuple[int, bytes], proof: Sequence[bytes]) -> bool:
    """Tell whether a proof shows that the new tree (size, root) begins with the old one (RFC 9162, section 2.1.4.2)."""
    (old_size, old_root), (new_size, new_root) = old, new
    if old_size in {0, new_size}:
        return not proof and (old_root == new_root if old_size else old_root == EMPTY_ROOT)
    if old_size > new_size or not proof:
        return False
    steps = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    place, last = old_size - 1, new_size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = steps[0]
    for hash_ in steps[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first, second = node_hash(hash_, first), node_hash(hash_, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, hash_)
        place, last = place >> 1, last >> 1
    return last == 0 and (first, second) == (old_root, new_root)


def _split(size: int) -> int:
    """Return the greatest power of two below a size."""
    return 1 << ((size - 1).bit_length() - 1)


def _beside(index: int, start: int, end: int) -> list[Range]:
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if index < middle:
        return [*_beside(index, start, middle), (middle, end)]
    return [*_beside(index, middle, end), (start, middle)]


def _kept(old: int, start: int, end: int, *, whole: bool) -> list[Range]:
    if start + old == end:
        return [] if whole else [(start, end)]
    half = _split(end - start)
    middle = start + half
    if old <= half:
        return [*_kept(old, start, middle, whole=whole), (middle, end)]
    return [*_kept(old - half, middle, end, whole=False), (start, middle)]
