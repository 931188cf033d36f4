"""Roots and proofs agree with RFC 6962: with its definitions and with another library."""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from services.common.transparency_log.merkle import (
    EMPTY_ROOT,
    Edge,
    consistency_proof,
    grow,
    inclusion_proof,
    is_consistent,
    leaf_hash,
    range_hash,
    root_from_inclusion,
)
from services.common.transparency_log.tiles import reader
from tests.support import transparency_log_client as tlog

MANY = 10_000
sizes = st.integers(1, 700)


@cache
def leaves(size: int) -> list[bytes]:
    return [leaf_hash(b"entry %d" % number) for number in range(size)]


def tiles(size: int, cuts: Sequence[int] = ()) -> tuple[Edge, dict[tuple[int, int], bytes]]:
    """Grow a tree at once, or in pieces that end at these sizes; return it with its tiles."""
    edge, rows = Edge(), dict[int, list[bytes]]()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), size], strict=True):
        edge, completed = grow(edge, leaves(size)[start:end])
        for level, hashes in completed.items():
            rows.setdefault(level, []).extend(hashes)
    return edge, {
        (level, place // 256): b"".join(row[place : place + 256])
        for level, row in rows.items()
        for place in range(0, len(row), 256)
    }


def test_small_trees_have_the_roots_of_the_rfc() -> None:
    assert Edge().root() == EMPTY_ROOT == sha256(b"").digest()
    assert grow(Edge(), [leaf_hash(b"")])[0].root() == sha256(b"\x00").digest()


@settings(max_examples=60, deadline=None)
@given(size=sizes, data=st.data())
def test_tree_grown_in_any_steps_has_the_defined_root(size: int, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, size), max_size=4))
    edge, kept = tiles(size, cuts)

    assert edge.size == size
    assert edge.root() == tlog.tree_hash(leaves(size)) == range_hash(0, size, node(kept))
    assert len(edge.hashes) == size.bit_count()


@settings(max_examples=60, deadline=None)
@given(size=sizes, data=st.data())
def test_proofs_are_those_of_the_definitions_and_hold(size: int, data: st.DataObject) -> None:
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    edge, kept = tiles(size)

    found = inclusion_proof(index, size, node(kept))
    assert found == tlog.path(index, leaves(size))
    assert root_from_inclusion(index, size, leaves(size)[index], found) == edge.root()
    grown = consistency_proof(old, size, node(kept))
    assert grown == tlog.subproof(old, leaves(size), complete=True)
    assert is_consistent((old, tlog.tree_hash(leaves(size)[:old])), (size, edge.root()), grown)


@settings(max_examples=100, deadline=None)
@given(size=sizes, data=st.data())
def test_no_wrong_leaf_place_size_or_proof_passes(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    edge, kept = tiles(size)
    proof = inclusion_proof(index, size, node(kept))
    root = edge.root()

    assert root_from_inclusion(index, size, leaf_hash(b"another"), proof) != root
    assert root_from_inclusion(index, size, leaves(size)[index], [*proof, bytes(32)]) != root
    other = data.draw(st.integers(0, size + 3))
    if other != index:
        assert root_from_inclusion(other, size, leaves(size)[index], proof) != root
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        assert root_from_inclusion(index, size, leaves(size)[index], proof[:place] + proof[place + 1 :]) != root
        damaged = [*proof[:place], bytes(32), *proof[place + 1 :]]
        assert root_from_inclusion(index, size, leaves(size)[index], damaged) != root


@settings(max_examples=100, deadline=None)
@given(size=st.integers(2, 700), data=st.data())
def test_a_rewritten_beginning_is_never_consistent(size: int, data: st.DataObject) -> None:
    old, edited = data.draw(st.integers(1, size - 1)), data.draw(st.integers(0, size - 1))
    edge, kept = tiles(size)
    proof = consistency_proof(old, size, node(kept))
    rewritten = [*leaves(size)[:edited], leaf_hash(b"another"), *leaves(size)[edited + 1 :]]
    old_root = tlog.tree_hash(leaves(size)[:old])

    assert not is_consistent((old, tlog.tree_hash(rewritten[:old])), (size, edge.root()), proof) or edited >= old
    assert not is_consistent((old, old_root), (size, tlog.tree_hash(rewritten)), proof)
    forged = tlog.subproof(old, rewritten, complete=True)
    assert is_consistent((old, old_root), (size, tlog.tree_hash(rewritten)), forged) == (edited >= old)
    assert not is_consistent((old, old_root), (size, edge.root()), [*proof, bytes(32)])
    assert not is_consistent((old, old_root), (size, edge.root()), proof[:-1])


@pytest.mark.parametrize(("old", "new"), [(5, 4), (4, 4), (0, 3)])
def test_consistency_of_equal_empty_or_larger_trees(old: int, new: int) -> None:
    roots = {size: tlog.tree_hash(leaves(5)[:size]) for size in range(6)}
    assert is_consistent((old, roots[old]), (new, roots[new]), []) == (old <= new)
    assert not is_consistent((old, b"x" * 32), (new, roots[new]), [])


def test_another_library_agrees_over_ten_thousand_entries() -> None:
    theirs = InmemoryTree(algorithm="sha256")
    entries = [b"entry %d" % number for number in range(MANY)]
    edge, kept = Edge(), dict[int, list[bytes]]()
    for number, entry in enumerate(entries, 1):
        theirs.append_entry(entry)
        edge, completed = grow(edge, [leaf_hash(entry)])
        for level, hashes in completed.items():
            kept.setdefault(level, []).extend(hashes)
        if number % 487 == 0 or number in {1, 2, 255, 256, 257, 511, 512, MANY}:
            assert edge.root() == theirs.get_root(number)
    for index in range(0, MANY, 371):
        path = theirs.prove_inclusion(index + 1, MANY).path
        mine = inclusion_proof(index, MANY, node(rows(kept)))
        assert mine == path[1:]  # theirs begins with the leaf itself
        assert root_from_inclusion(index, MANY, leaf_hash(entries[index]), mine) == theirs.get_root(MANY)


def rows(kept: dict[int, list[bytes]]) -> dict[tuple[int, int], bytes]:
    return {
        (level, place // 256): b"".join(row[place : place + 256])
        for level, row in kept.items()
        for place in range(0, len(row), 256)
    }


def node(kept: dict[tuple[int, int], bytes]):  # type: ignore[no-untyped-def]  # a reader of nodes
    return reader(lambda level, number: kept[level, number])
