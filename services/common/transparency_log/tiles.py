"""A tree's hashes in tiles, and its entries in bundles, as C2SP tlog-tiles specifies (https://c2sp.org/tlog-tiles)."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from services.common.transparency_log.merkle import Node, folded

WIDTH = 256
STEP = 8
HASH = 32
ENTRIES = -1
"""The number used as level for bundles of entries."""
MOST = 1 << 63
"""Greatest size of a tree (C2SP tlog-tiles), and of a number in the database."""
_PATH = re.compile(r"(?:(entries)|([0-9]|[1-5][0-9]|6[0-3]))/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


@dataclass(frozen=True, slots=True)
class Tile:
    """Level and index of a tile or bundle, and how many of its 256 places are filled."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Return its path below `tile/`."""
        steps = [f"{self.index % 1000:03d}"]
        rest = self.index // 1000
        while rest:
            steps.insert(0, f"x{rest % 1000:03d}")
            rest //= 1000
        partial = f".p/{self.width}" if self.width < WIDTH else ""
        return f"{'entries' if self.level == ENTRIES else self.level}/{'/'.join(steps)}{partial}"

    @property
    def first(self) -> int:
        """Return the index of its first place within its level."""
        return self.index * WIDTH


def tile_at(path: str) -> Tile:
    """Parse a path below `tile/`; raises `ValueError` for all but the one spelling of a tile's path."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise ValueError("not the path of a tile")
    entries, level, steps, width = match.groups()
    index = int(steps.replace("x", "").replace("/", ""))
    tile = Tile(ENTRIES if entries else int(level), index, int(width or WIDTH))
    if tile.path != path or tile.first >= MOST:
        raise ValueError("not the path of a tile")
    return tile


def tiles_of(size: int) -> Iterator[Tile]:
    """Yield every tile of hashes of a tree, level by level."""
    level, places = 0, size
    while places:
        whole, rest = divmod(places, WIDTH)
        yield from (Tile(level, index) for index in range(whole))
        if rest:
            yield Tile(level, whole, rest)
        level, places = level + 1, whole


def hashes_in(tile: bytes) -> list[bytes]:
    """Split the bytes of a tile into hashes."""
    return [tile[start : start + HASH] for start in range(0, len(tile), HASH)]


def reader(tile_hashes: Callable[[int, int], bytes]) -> Node:
    """Return a function that reads roots of complete subtrees from tiles; `tile_hashes` returns a tile by level and index."""

    def node(height: int, index: int) -> bytes:
        level, rest = divmod(height, STEP)
        first = index << rest
        tile, place = divmod(first, WIDTH)
        row = hashes_in(tile_hashes(level, tile))[place : place + (1 << rest)]
        if len(row) < 1 << rest:
            raise LookupError("the tile does not reach so far")
        return folded(row)

    return node


def bundled(entries: Sequence[bytes]) -> bytes:
    """Encode entries as a bundle: each after its length in two bytes."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def unbundled(bundle: bytes) -> list[bytes]:
    """Decode the entries of a bundle; raises `ValueError` if it is cut short."""
    entries, place = [], 0
    while place < len(bundle):
        end = place + 2 + int.from_bytes(bundle[place : place + 2], "big")
        if len(bundle) < end:
            raise ValueError("the bundle breaks off")
        entries.append(bundle[place + 2 : end])
        place = end
    return entries
