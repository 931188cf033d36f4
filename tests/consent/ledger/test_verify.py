"""`ledger verify` needs only the public key and a copy: it finds changes of the ledger offline and names their places."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.cli import main
from services.common.transparency_log.merkle import Edge, grow, leaf_hash
from services.common.transparency_log.signed_notes import Checkpoint, checkpoint, note, signed
from services.common.transparency_log.tiles import ENTRIES, STEP, Tile, bundled, tiles_of, unbundled
from services.consent.handlers.ledger import publish
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.ledger.signing import LedgerKey
from tests.support.consent import House

SIZES = (3, 300, 700)
"""Tree sizes at which a checkpoint is signed; the last one needs two full tiles and a partial one."""
KEY = LedgerKey("log.example/ledger", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a log with 700 entries and its earlier checkpoints."""
    folder = tmp_path_factory.mktemp("log")
    write_log(folder, KEY, [b"entry %d" % number for number in range(SIZES[-1])])
    (folder / "key").write_text(str(KEY.verifier))
    return folder


@pytest.fixture
def copy(log: Path, tmp_path: Path) -> Path:
    shutil.copytree(log, tmp_path / "copy")
    return tmp_path / "copy"


def write_log(folder: Path, key: LedgerKey, entries: list[bytes]) -> None:
    """Write a log as `fireweed ledger copy` does, with a checkpoint for each size."""
    edge, rows = Edge(), dict[int, list[bytes]]()
    for number, entry in enumerate(entries, 1):
        edge, completed = grow(edge, [leaf_hash(entry)])
        for level, hashes in completed.items():
            rows.setdefault(level, []).extend(hashes)
        if number in SIZES:
            (folder / f"checkpoint-{number}").write_text(key.checkpoint(number, edge.root()))
    (folder / "checkpoint").write_text(key.checkpoint(edge.size, edge.root()))
    for tile in tiles_of(edge.size):
        put(folder, tile, b"".join(rows[tile.level][tile.first : tile.first + tile.width]))
        if tile.level == 0:
            part = entries[tile.first : tile.first + tile.width]
            put(folder, Tile(ENTRIES, tile.index, tile.width), bundled(part))


def put(folder: Path, tile: Tile, content: bytes) -> None:
    path = folder / "tile" / tile.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def verify(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["ledger", "verify", str(folder), "--key", str(folder / "key"), *options])


def earlier(folder: Path) -> list[str]:
    return [option for size in SIZES for option in ("--earlier", str(folder / f"checkpoint-{size}"))]


def test_intact_log_verifies_with_all_earlier_checkpoints(log: Path) -> None:
    told = verify(log, *earlier(log), "--json")

    assert told.exit_code == 0, told.output
    assert json.loads(told.output) == {"entries": 700, "tiles": 4}


Damage = Callable[[list[bytes]], object]


def edit(entries: list[bytes]) -> None:
    entries[77] = b"another"


def drop(entries: list[bytes]) -> None:
    del entries[77]


def swap(entries: list[bytes]) -> None:
    entries[77], entries[78] = entries[78], entries[77]


def add(entries: list[bytes]) -> None:
    entries.insert(77, b"another")
    entries.pop()


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize(
    ("damage", "messages"),
    [
        (edit, ["entry {0} was edited"]),
        (drop, ["entry {0} was dropped"]),
        (swap, ["entry {0} was moved: in its place stands entry {1}", "entry {1} was moved"]),
        (add, ["entry {0} was edited", "entry {1} was moved: in its place stands entry {0}"]),
    ],
)
def test_edited_dropped_or_moved_entry_is_named(copy: Path, number: int, damage: Damage, messages: list[str]) -> None:
    tile = Tile(ENTRIES, number, 256 if number < 2 else 188)
    entries = unbundled((copy / "tile" / tile.path).read_bytes())
    damage(entries)
    put(copy, tile, bundled(entries))

    told = verify(copy)
    assert told.exit_code == 1
    for message in messages:
        assert message.format(number * 256 + 77, number * 256 + 78) in told.output


def test_tile_refitted_to_edited_entry_is_named(copy: Path) -> None:
    entries = unbundled((copy / "tile/entries/001").read_bytes())
    entries[3] = b"another"
    put(copy, Tile(ENTRIES, 1), bundled(entries))
    put(copy, Tile(0, 1), b"".join(map(leaf_hash, entries)))

    told = verify(copy)
    assert told.exit_code == 1
    assert "the hashes of entries 256 to 511 are not those of the level above" in told.output


@pytest.mark.parametrize(("edited", "between"), [(1, "0 to 2"), (200, "3 to 299"), (500, "300 to 699")])
def test_rewritten_history_is_located_between_checkpoints(copy: Path, edited: int, between: str) -> None:
    """The signing key may rewrite everything consistently, but the earlier checkpoints no longer match."""
    entries = [b"entry %d" % number for number in range(SIZES[-1])]
    entries[edited] = b"another"
    signed_before = {size: (copy / f"checkpoint-{size}").read_text() for size in SIZES}
    write_log(copy, KEY, entries)
    assert verify(copy).exit_code == 0, (
        "such a log is consistent by itself: only an earlier checkpoint shows the change"
    )
    for size, text in signed_before.items():
        (copy / f"checkpoint-{size}").write_text(text)

    told = verify(copy, *earlier(copy))
    assert told.exit_code == 1
    assert f"history was rewritten among entries {between}" in told.output


def test_truncated_log_fails_verification(copy: Path) -> None:
    before = (copy / "checkpoint-700").read_text()
    write_log(copy, KEY, [b"entry %d" % number for number in range(600)])
    (copy / "checkpoint-700").write_text(before)

    told = verify(copy, *earlier(copy))
    assert told.exit_code == 1
    assert "a tree of 700 entries was signed, and there are fewer" in told.output


def test_forked_logs_fail_verification(copy: Path) -> None:
    entries = [b"entry %d" % number for number in range(650)]
    fork = [*entries, *(b"fork %d" % number for number in range(50))]
    write_log(copy, KEY, fork)
    mine = KEY.checkpoint(700, tree_root([b"entry %d" % number for number in range(700)]))
    (copy / "seen-by-another").write_text(mine)

    told = verify(copy, *earlier(copy)[:4], "--earlier", str(copy / "seen-by-another"))
    assert told.exit_code == 1
    assert "history was rewritten among entries 300 to 699" in told.output


def tree_root(entries: list[bytes]) -> bytes:
    return grow(Edge(), map(leaf_hash, entries), STEP)[0].root()


@pytest.mark.parametrize(
    ("name", "when_gone", "when_short"),
    [
        ("checkpoint", "there is no checkpoint", "the checkpoint cannot be believed"),
        ("tile/0/001", "tile 0/001 is missing or too short", "tile 0/001 is missing or too short"),
        ("tile/1/000.p/2", "tile 1/000.p/2 is missing or too short", "tile 1/000.p/2 is missing or too short"),
        ("tile/entries/001", "the bundle of entries 256 to 511 cannot be read", "256 to 511 cannot be read"),
    ],
)
def test_missing_or_truncated_file_is_named(copy: Path, name: str, when_gone: str, when_short: str) -> None:
    path = copy / name
    content = path.read_bytes()
    path.unlink()
    gone = verify(copy)
    path.write_bytes(content[: len(content) // 2 + 1])  # for the bundle this is in the middle of an entry
    short = verify(copy)

    for told, named in ((gone, when_gone), (short, when_short)):
        assert told.exit_code == 1
        assert "This does not hold" in told.output
        assert named in told.output


@pytest.mark.parametrize(("left", "named"), [(133, "entries 133 to 255 are missing"), (255, "entry 255 is missing")])
def test_entries_missing_at_end_are_not_reported_as_moved(copy: Path, left: int, named: str) -> None:
    path = copy / "tile" / "entries" / "000"
    path.write_bytes(bundled(unbundled(path.read_bytes())[:left]))
    told = verify(copy)
    assert named in told.output
    assert "moved up" not in told.output


def test_checkpoint_of_other_key_or_ledger_fails_verification(copy: Path) -> None:
    text = (copy / "checkpoint").read_text()
    for key in (LedgerKey(KEY.origin, Ed25519PrivateKey.generate()), LedgerKey("elsewhere", KEY.key)):
        (copy / "key").write_text(str(key.verifier))
        assert verify(copy).exit_code == 1
    (copy / "key").write_text(str(KEY.verifier))
    for other in (
        Checkpoint("elsewhere", 700, bytes(32)),
        Checkpoint("elsewhere", 700, checkpoint(note(text).body).root),
    ):
        (copy / "checkpoint").write_text(str(signed(str(other), KEY.origin, KEY.key)))
        assert "another ledger" in verify(copy).output
    (copy / "checkpoint").write_text(text.replace("\n700\n", "\n699\n"))
    assert "not over this text" in verify(copy).output


def test_ledger_copy_command_writes_valid_log(
    own_house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_house.context.database.transaction() as connection:
        entries = [Entry("sample", None, None, {"number": number}) for number in range(300)]
        ledger.append(connection, entries, own_house.clock.now())
    publish.publish(own_house.context)
    settings = own_house.service.settings
    monkeypatch.setenv("FIREWEED_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("FIREWEED_DATA", str(settings.data))
    monkeypatch.setenv("FIREWEED_PUBLIC_URL", settings.public_url)
    copied = CliRunner().invoke(main, ["ledger", "copy", str(tmp_path / "copy"), "--json"])
    key = CliRunner().invoke(main, ["ledger", "key"])
    (tmp_path / "copy" / "key").write_text(key.output)

    assert json.loads(copied.output) == {"entries": 300, "files": 6}
    assert verify(tmp_path / "copy").exit_code == 0


def test_verify_without_input_exits_2_and_with_bad_key_1(log: Path) -> None:
    nothing = CliRunner().invoke(main, ["ledger", "verify", "--key", str(log / "key")])
    no_key = CliRunner().invoke(main, ["ledger", "verify", str(log), "--key", "nonsense"])

    assert (nothing.exit_code, no_key.exit_code) == (2, 1)
    assert "not a verifier key" in no_key.output


@pytest.mark.parametrize("option", ["--receipt", "--export"])
@pytest.mark.parametrize(
    "document", ["[]", '"x"', "null", "{}", '{"receipts": [], "ledger": 5}', '{"receipts": {}, "ledger": ["x"]}', "{"]
)
def test_malformed_document_fails_with_plain_error(log: Path, tmp_path: Path, option: str, document: str) -> None:
    (tmp_path / "shown").write_text(document, "utf-8")
    done = CliRunner().invoke(main, ["ledger", "verify", "--key", str(log / "key"), option, str(tmp_path / "shown")])

    assert (done.exit_code, done.output.startswith("Error: This does not hold: ")) == (1, True), done.exception


def test_malformed_key_is_reported(log: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(bytes(range(256)))
    for given in (str(tmp_path / "key"), "a" * 5000, "a\0b"):
        done = CliRunner().invoke(main, ["ledger", "verify", str(log), "--key", given])
        assert (done.exit_code, "not a verifier key" in done.output) == (1, True)
