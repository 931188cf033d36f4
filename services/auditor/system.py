"""All publications of one fiscal year as one system: an attacker's knowledge of cells, and the groups to be protected."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from services.auditor.published import MANY, Doubt, Publication, rules
from services.auditor.relations import Parts, Relations, relations

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Row:
    """A linear form that lies between two numbers."""

    columns: tuple[int, ...]
    signs: tuple[int, ...]
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Group:
    """People that must not be found to be few: a hidden cell, or those of one cell that are in none of others (`inner`).

    An attacker must be left thinking that there might be `low` or fewer, and that there might be `high` or more; or
    else it must be certain that there are `floor` or more.
    """

    name: str
    outer: int
    inner: tuple[int, ...]
    low: int
    high: int
    floor: int

    @property
    def columns(self) -> tuple[int, ...]:
        """Return every cell that it is made of."""
        return (self.outer, *self.inner)


@dataclass(frozen=True, slots=True)
class System:
    """Cells as columns, with what is known of each (`lower` to `upper`) and between them (`rows`)."""

    names: tuple[str, ...]
    lower: Numbers
    upper: Numbers
    rows: tuple[Row, ...]
    groups: tuple[Group, ...]
    shown: NDArray[np.bool_]
    # Groups that the publisher says are not small; each is a row as well.
    claimed: frozenset[tuple[int, ...]]
    # The columns that have changed since conclusions were drawn row by row; None if that never happened.
    moved: frozenset[int] | None = None

    def knowing(self, own: Numbers, outside: int, about: str | None) -> "System":
        """Return the system as an insider sees it who knows `own` people of each cell: the rest of it is to be protected.

        The rules promise to each agency alone that, in shown or claimed groups, at least `outside` others are in it. A
        coalition of two agencies (`about` one publication) is promised nothing, and only its hidden cells are protected
        from them.
        """
        alone = about is None
        promised = np.where(self.shown & (own > 0), outside, 0) if alone else 0
        each: Sequence[int] = own.tolist()
        rest = {group.columns: _rest(group, each, outside) for group in self.groups}
        claims = [_at_least(rest[columns]) for columns in self.claimed if alone and rest[columns].low]
        lower = np.minimum(np.maximum(self.lower, own + promised), self.upper)
        moved = {*np.flatnonzero(lower > self.lower).tolist(), *(column for row in claims for column in row.columns)}
        return replace(
            self,
            lower=lower,
            rows=(*self.rows, *claims),
            moved=None if self.moved is None else self.moved | moved,
            groups=tuple(group for group in rest.values() if alone or self._is_about(group, f"{about}:")),
            claimed=self.claimed if alone else frozenset(),
        )

    def _is_about(self, group: Group, start: str) -> bool:
        return not group.inner and self.names[group.outer].startswith(start)


def _rest(group: Group, own: Sequence[int], outside: int) -> Group:
    known = own[group.outer] - sum(own[inner] for inner in group.inner)
    if known <= 0:
        return group
    high = known + group.floor - 1
    return Group(group.name, group.outer, group.inner, max(group.low, known), high, known + outside)


def _at_least(group: Group) -> Row:
    return Row(group.columns, (1, *(-1 for _ in group.inner)), group.floor, MANY)


@dataclass(slots=True)
class _Draft:
    names: list[str] = field(default_factory=list)
    lower: list[int] = field(default_factory=list)
    upper: list[int] = field(default_factory=list)
    shown: list[bool] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    # The first column of each publication's cells.
    start: dict[str, int] = field(default_factory=dict)


def build(publications: Sequence[Publication]) -> System:
    """Return the system of publications of one fiscal year; raise `Doubt` if they contradict the rules or each other.

    All are read by the newest plan: what it says of a cell holds for earlier publications too.
    """
    known = relations(max(one.plan for one in publications), max(one.rules for one in publications))
    draft = _Draft()
    for publication in publications:
        draft.start[publication.id] = len(draft.names)
        _cells(draft, publication, known)
        _inside(draft, publication, known)
    for earlier, later in _linked(publications):
        _between(draft, earlier, later, known)
    _years(draft, publications, len(known.names))
    claimed = frozenset(_claims(draft, publications))
    return System(
        names=tuple(draft.names),
        lower=np.array(draft.lower, dtype=np.int64),
        upper=np.array(draft.upper, dtype=np.int64),
        rows=tuple(draft.rows),
        groups=tuple(dict.fromkeys(draft.groups)),
        shown=np.array(draft.shown, dtype=bool),
        claimed=claimed,
    )


def _cells(draft: _Draft, publication: Publication, known: Relations) -> None:
    """Add one column for each group of people, with the values that its cells show."""
    rule = rules(publication.rules)
    base = rule["base"]
    count = len(known.names)
    lower, upper, shown = [0] * count, [MANY] * count, [False] * count
    seen: dict[int, int | None] = {}
    for table, cells in publication.tables.items():
        for key, value in cells.items():
            number = known.place.get((table, key))
            if number is None:
                raise Doubt(f"{publication.id} shows a cell of {table} that is not in the plan.")
            if seen.setdefault(number, value) != value:
                raise Doubt(f"{publication.id} shows {known.names[number]} in two ways.")
            if (table, key) in publication.empty:
                upper[number] = 0
            elif value is not None:
                if value % base or value < known.floors[number]:
                    raise Doubt(f"{publication.id} shows {known.names[number]} against the rules.")
                lower[number], upper[number] = max(value - base + 1, known.floors[number]), value + base - 1
                shown[number] = True
    draft.names += [f"{publication.id}:{name}" for name in known.names]
    draft.lower += lower
    draft.upper += upper
    draft.shown += shown


def _inside(draft: _Draft, publication: Publication, known: Relations) -> None:
    """Add what holds inside one publication, and the groups in it."""
    start = draft.start[publication.id]
    for parts in known.parts:
        draft.rows += _together(start, parts)
    told = {(parts.outer, inner) for parts in known.parts if parts.apart for inner in parts.inner}
    for outer, inner in known.tight:
        if (outer, inner) not in told:
            draft.rows.append(Row((start + outer, start + inner), (1, -1), 0, MANY))
    there = {known.place[table, key] for table, cells in publication.tables.items() for key in cells}
    draft.groups += [
        Group(draft.names[start + number], start + number, (), 0, known.floors[number] - 1, known.floors[number])
        for number in sorted(there)
        if not draft.shown[start + number] and draft.upper[start + number]
    ]
    draft.groups += [
        _difference(draft, start + outer, (start + inner,), known.floors[outer])
        for outer, inner in known.nested
        if outer in there and inner in there and draft.upper[start + inner]
    ]
    draft.groups += _remainders(draft, start, known)


def _together(start: int, parts: Parts) -> Iterator[Row]:
    columns = (start + parts.outer, *(start + inner for inner in parts.inner))
    signs = (1, *(-1 for _ in parts.inner))
    many = MANY * len(columns)
    if parts.whole or parts.apart:
        yield Row(columns, signs, 0 if parts.apart else -many, 0 if parts.whole else many)


def _remainders(draft: _Draft, start: int, known: Relations) -> Iterator[Group]:
    """Yield what is left of a cell without all its shown parts, where these have nobody in common."""
    for parts in known.parts:
        shown = tuple(start + inner for inner in parts.inner if draft.shown[start + inner])
        if parts.apart and draft.shown[start + parts.outer] and 1 < len(shown) < len(parts.inner) + (not parts.whole):
            yield _difference(draft, start + parts.outer, shown, known.floors[parts.outer])


def _difference(draft: _Draft, outer: int, inner: tuple[int, ...], floor: int) -> Group:
    name = " without ".join(draft.names[column] for column in (outer, *inner))
    return Group(name, outer, inner, 0, floor - 1, floor)


def _linked(publications: Sequence[Publication]) -> Iterator[tuple[Publication, Publication]]:
    """Yield linked publications: a year with each of its quarters, a revision with what it revises, the earlier one first."""
    for later in publications:
        for earlier in publications:
            if earlier.number < later.number and (earlier.period == later.period or earlier.kind != later.kind):
                yield earlier, later


def _between(draft: _Draft, earlier: Publication, later: Publication, known: Relations) -> None:
    """Add what holds between two publications about the same people, apart from those who came or left in between."""
    if earlier.id not in later.drift:
        raise Doubt(f"{later.id} does not say how {earlier.id} may have changed.")
    drift, first, second = later.drift[earlier.id], draft.start[earlier.id], draft.start[later.id]
    revised = earlier.period == later.period
    for number in range(len(known.names)):
        old, new = first + number, second + number
        if not revised and number not in known.lasting:
            continue
        wider, other = (old, new) if earlier.kind == "year" and not revised else (new, old)
        draft.rows.append(Row((wider, other), (1, -1), -drift, drift if revised else MANY))
    if (earlier.kind, later.kind) == ("quarter", "year"):
        for number in sorted(known.lasting & known.published["quarter"] & known.published["year"]):
            draft.groups.append(_difference(draft, second + number, (first + number,), known.floors[number]))


def _years(draft: _Draft, publications: Sequence[Publication], width: int) -> None:
    """Add that a year is the sum of its four quarters, once all of them are out."""
    for year in (publication for publication in publications if publication.kind == "year"):
        quarters = [
            found
            for found in publications
            if found.kind == "quarter" and found.number < year.number and found.revises is None
        ]
        if len(quarters) == 4:
            slack = sum(year.drift[quarter.id] for quarter in quarters)
            starts = [draft.start[quarter.id] for quarter in quarters]
            for number in range(width):
                columns = (draft.start[year.id] + number, *(start + number for start in starts))
                draft.rows.append(Row(columns, (1, -1, -1, -1, -1), -MANY * 5, slack))


def _claims(draft: _Draft, publications: Sequence[Publication]) -> Iterator[tuple[int, ...]]:
    """Add a row for each group that the publisher claims not to be small; yield the group's columns."""
    columns: Mapping[str, int] = {name: column for column, name in enumerate(draft.names)}
    groups = {group.columns: group for group in draft.groups}
    for publication in publications:
        for claim in sorted(publication.certain):
            cells = tuple(columns.get(name, -1) for name in claim)
            if cells not in groups or len(cells) < 2:
                raise Doubt(f"{publication.id} makes a claim about no difference.")
            draft.rows.append(_at_least(groups[cells]))
            yield cells
