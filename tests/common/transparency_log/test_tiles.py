"""Tiles have the paths of the C2SP specification, one path each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.transparency_log.tiles import ENTRIES, Tile, bundled, tile_at, tiles_of, unbundled


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1234067), "0/x001/x234/067"),
        (Tile(0, 0), "0/000"),
        (Tile(63, 999, 255), "63/999.p/255"),
        (Tile(2, 1000, 1), "2/x001/000.p/1"),
        (Tile(ENTRIES, 1234067, 8), "entries/x001/x234/067.p/8"),
    ],
)
def test_a_path_is_the_one_of_the_specification(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert tile_at(path) == tile


@given(level=st.integers(-1, 63), index=st.integers(0, 10**12), width=st.integers(1, 256))
def test_a_tile_is_found_under_its_path(level: int, index: int, width: int) -> None:
    assert tile_at(Tile(level, index, width).path) == Tile(level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "0",
        "0/",
        "0/0",
        "0/0000",
        "00/000",
        "64/000",
        "-1/000",
        "0/x000/000",
        "0/001/000",
        "0/000.p/0",
        "0/000.p/01",
        "0/000.p/256",
        "0/000.p/300",
        "0/000.p/",
        "entries/000/",
        "Entries/000",
        "0/000\n",
        "../0/000",
        # Beyond the last place of the largest tree, where databases cannot count either.
        "0/x036/x028/x797/x018/x963/968",
        "entries/x999/x999/x999/x999/x999/x999/x999/999",
    ],
)
def test_other_spellings_of_a_path_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not the path"):
        tile_at(path)


def test_the_last_tile_of_the_largest_tree_has_a_path() -> None:
    assert tile_at("0/x036/x028/x797/x018/x963/967") == Tile(0, 2**55 - 1)


def test_tree_of_70000_has_the_tiles_of_the_specification() -> None:
    tiles = list(tiles_of(70_000))
    partial = [(tile.level, tile.index, tile.width) for tile in tiles if tile.width < 256]

    assert sum(tile.level == 0 and tile.width == 256 for tile in tiles) == 273
    assert sum(tile.level == 1 and tile.width == 256 for tile in tiles) == 1
    assert partial == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
    assert [(tile.level, tile.width) for tile in tiles_of(256)] == [(0, 256), (1, 1)]
    assert list(tiles_of(0)) == []


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_gives_its_entries_back(entries: list[bytes]) -> None:
    assert unbundled(bundled(entries)) == entries


@pytest.mark.parametrize("bundle", [b"\x00", b"\x00\x02a", b"\x00\x01ab", b"\x00\x01a\x00\x05b"])
def test_truncated_bundle_is_refused(bundle: bytes) -> None:
    with pytest.raises(ValueError, match="breaks off"):
        unbundled(bundle)
