"""Relations between cells that follow from a plan alone: equal, nested and adding up."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.auditor.published import Key, floor_of, plan, rules
from services.auditor.published import product as keys_of

# For each dimension of the plan, the finest codes that a cell is about, as bits.
Mask = tuple[int, ...]
Trees = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Parts:
    """A cell and others inside it: `whole` if everybody in it is in one of them, `apart` if nobody is in two."""

    outer: int
    inner: tuple[int, ...]
    whole: bool
    apart: bool


@dataclass(frozen=True, slots=True)
class Relations:
    """The cells of one plan by number, each for one group of people, and everything that holds between them."""

    names: tuple[str, ...]
    floors: tuple[int, ...]
    # Where each group of people is published: its number by table and key, and its numbers by kind of period.
    place: Mapping[tuple[str, Key], int]
    published: Mapping[str, frozenset[int]]
    # (outer, inner): every nesting, and those that do not follow from others.
    nested: tuple[tuple[int, int], ...]
    tight: tuple[tuple[int, int], ...]
    parts: tuple[Parts, ...]
    # Cells that a year has in full from each of its quarters; elsewhere a year keeps one quarter's answer of each
    # person.
    lasting: frozenset[int]


@cache
def relations(plan_version: int, rules_version: int) -> Relations:
    """Return everything that holds between the cells of a plan version."""
    return derive(plan(plan_version), rules(rules_version))


def derive(wanted: Mapping[str, Any], rule: Mapping[str, Any]) -> Relations:
    """Return everything that holds between the cells of this plan under these rules."""
    trees = {name: _masks(dimension["within"]) for name, dimension in wanted["dimensions"].items()}
    roots = {name: _root(dimension["within"]) for name, dimension in wanted["dimensions"].items()}
    numbers: dict[Mask, int] = {}
    names: list[str] = []
    place: dict[tuple[str, Key], int] = {}
    least: list[int] = []
    for table in wanted["tables"]:
        for key in keys_of(table["cells"]):
            cell = {**roots, **dict(zip(table["cells"], key, strict=True))}
            mask = tuple(trees[name][cell[name]] for name in trees)
            number = numbers.setdefault(mask, len(numbers))
            if number == len(names):
                names.append("/".join(cell.values()))
                least.append(0)
            least[number] = max(least[number], floor_of(rule, cell))
            place[table["id"], key] = number
    masks = list(numbers)
    nested, tight = _nestings(masks)
    slices = [found for table in wanted["tables"] for found in _slices(table, trees, roots)]
    ones = [_one(name, wanted["dimensions"], trees, roots) for name in trees]
    return Relations(
        names=tuple(names),
        floors=tuple(least),
        place=place,
        published={kind: _published(wanted, place, kind) for kind in ("quarter", "year")},
        nested=nested,
        tight=tight,
        parts=tuple(dict.fromkeys(_parts(numbers, slices, ones))),
        lasting=frozenset(
            number for mask, number in numbers.items() if _lasts(mask, wanted["dimensions"], trees, roots)
        ),
    )


def _one(name: str, dimensions: Mapping[str, Any], trees: Trees, roots: Mapping[str, str]) -> Callable[[Mask], bool]:
    """Return whether the children of this dimension's codes add up, in a given cell."""
    one = dimensions[name]["one"]
    if isinstance(one, bool):
        return lambda _: one
    at, root = list(trees).index(one), trees[one][roots[one]]
    return lambda mask: mask[at] != root


def _lasts(mask: Mask, dimensions: Mapping[str, Any], trees: Trees, roots: Mapping[str, str]) -> bool:
    return all(
        dimensions[name]["one"] is False or own == trees[name][roots[name]]
        for name, own in zip(trees, mask, strict=True)
    )


def _published(wanted: Mapping[str, Any], place: Mapping[tuple[str, Key], int], kind: str) -> frozenset[int]:
    tables = {table["id"] for table in wanted["tables"] if kind in table["periods"]}
    return frozenset(number for (table, _), number in place.items() if table in tables)


def _root(within: Mapping[str, str | None]) -> str:
    [root] = [code for code, parent in within.items() if parent is None]
    return root


def _masks(within: Mapping[str, str | None]) -> dict[str, int]:
    """Return each code as the set of finest codes below it: a code with one child equals that child."""
    parents = set(within.values())
    finest = [code for code in within if code not in parents]
    masks = dict.fromkeys(within, 0)
    for bit, leaf in enumerate(finest):
        code: str | None = leaf
        while code is not None:
            masks[code] |= 1 << bit
            code = within[code]
    return masks


def _nestings(masks: Sequence[Mask]) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    columns = np.array(masks, dtype=np.int64)
    inside = np.ones((len(masks), len(masks)), dtype=bool)
    for column in columns.T:
        inside &= (column[:, None] & ~column[None, :]) == 0
    np.fill_diagonal(inside, val=False)
    steps = inside.astype(np.float32)
    implied = (steps @ steps) > 0
    return _pairs(inside), _pairs(inside & ~implied)


def _pairs(inside: NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    return tuple((int(outer), int(inner)) for inner, outer in np.argwhere(inside))


def _slices(table: Mapping[str, Any], trees: Trees, roots: Mapping[str, str]) -> Iterator[Any]:
    """Return a table's parts in which no code lies inside another, as lists of masks for each dimension of the plan."""
    choices = []
    for name, tree in trees.items():
        listed = table["cells"].get(name, [roots[name]])
        choices.append(list(_levels([tree[code] for code in listed])))
    yield from product(*choices)


def _levels(masks: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Return codes of one list by how many others of the list contain them; a lone code also serves on finer levels."""
    masks = list(dict.fromkeys(masks))
    depth = {mask: sum(mask != other and mask & ~other == 0 for other in masks) for mask in masks}
    childless = {mask for mask in masks if not any(mask != other and other & ~mask == 0 for other in masks)}
    for level in sorted(set(depth.values())):
        yield tuple(m for m in masks if depth[m] == level or (m in childless and depth[m] < level))


def _parts(
    numbers: Mapping[Mask, int], slices: Sequence[Any], ones: Sequence[Callable[[Mask], bool]]
) -> Iterator[Parts]:
    for mask, outer in numbers.items():
        for part in slices:
            inside = [[m for m in level if m & ~own == 0] for level, own in zip(part, mask, strict=True)]
            inner = tuple(sorted(numbers[found] for found in product(*inside)))
            if inner and inner != (outer,):
                whole = all(_union(level) == own for level, own in zip(inside, mask, strict=True))
                refined = [one(mask) for level, one, own in zip(inside, ones, mask, strict=True) if level != [own]]
                yield Parts(outer, inner, whole, all(refined))


def _union(masks: Sequence[int]) -> int:
    joined = 0
    for mask in masks:
        joined |= mask
    return joined
