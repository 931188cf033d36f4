"""Verifies the ledger offline: a folder of tiles, an entry, a receipt. It trusts the ledger's public key only.

Faults are named as precisely as possible: which entry was edited, dropped or moved, and between which sizes the history was
rewritten.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.common.auth.jose import Untrusted, verify
from services.common.transparency_log.merkle import EMPTY_ROOT, folded, leaf_hash, range_hash, root_from_inclusion
from services.common.transparency_log.signed_notes import Checkpoint, NotANote, Verifier, checkpoint, note, proof
from services.common.transparency_log.tiles import ENTRIES, WIDTH, Tile, hashes_in, reader, tiles_of, unbundled
from services.consent.ledger.commitments import leaf_by_way, leaf_shown
from services.consent.ledger.signing import RECEIPT_TYPE, jwk_of

Read = Callable[[str], bytes | None]
"""Reads a file of a log by its path, such as `checkpoint` or `tile/0/000`; None where there is none."""


@dataclass(slots=True)
class Findings:
    """The result: how much was verified, and everything that is wrong."""

    entries: int = 0
    tiles: int = 0
    wrong: list[str] = field(default_factory=list)


class Broken(Exception):
    """The log, the entry or the receipt is not valid; the message says where."""


def signed_checkpoint(text: str, known: Verifier) -> Checkpoint:
    """Return the checkpoint in a note; raise `Broken` unless the ledger's key has signed it."""
    try:
        read = note(text)
        if read.signature_by(known) is None:
            raise Broken("the checkpoint is not signed by the key of this ledger")
        said = checkpoint(read.body)
    except NotANote as error:
        raise Broken(f"the checkpoint cannot be believed: {error}") from error
    if said.origin != known.name:
        raise Broken("the checkpoint is of another ledger")
    return said


def verify_log(read: Read, known: Verifier, earlier: Sequence[str]) -> Findings:
    """Verify a whole log against its checkpoint, and that it begins with what earlier checkpoints signed; return findings."""
    text = read("checkpoint")
    if text is None:
        raise Broken("there is no checkpoint")
    head = signed_checkpoint(text.decode("utf-8", "replace"), known)
    found = Findings()
    kept = dict(_sound_tiles(read, head.size, found))
    _check_levels(kept, head.size, found)
    _check_entries(read, kept, head.size, found)
    if not found.wrong:
        _check_roots(kept, [head, *(signed_checkpoint(each, known) for each in earlier)], found)
    return found


def verify_leaf(leaf: bytes, proven: str, known: Verifier) -> Checkpoint:
    """Verify that a leaf is in the ledger where a proof says; return the checkpoint that covers it, or raise `Broken`.

    The proof of an entry about a survivor leads by way of her act, whose leaf stands in the tree.
    """
    try:
        told = proof(proven)
        leaf = leaf if told.extra is None else leaf_by_way(leaf, told.extra)
    except ValueError as error:
        raise Broken(str(error)) from error
    said = signed_checkpoint(told.note, known)
    if root_from_inclusion(told.index, said.size, leaf_hash(leaf), told.hashes) != said.root:
        raise Broken(f"entry {told.index} of the ledger does not say this")
    return said


def verify_receipt(document: Mapping[str, Any], known: Verifier) -> Checkpoint | None:
    """Verify a receipt; return the checkpoint that covers its entry, None without a proof. Raises `Broken`."""
    try:
        signed = verify(str(document["jws"]), jwk_of(known), "receipt")
        entry, said = signed.claims["ledger"], signed.claims["pii_processing"]
        leaf = leaf_shown(entry)
    except (Untrusted, ValueError, LookupError, TypeError) as error:
        raise Broken("the receipt is not signed by the key of this ledger, or is none") from error
    if signed.header.get("typ") != RECEIPT_TYPE or signed.claims != document.get("receipt"):
        raise Broken("the receipt says other things than those that were signed")
    told = [entry["detail"].get(name, wanted) == wanted for name, wanted in _promised(said).items()]
    if not all(told):
        raise Broken("the receipt says other things than its line in the ledger")
    return verify_leaf(leaf, str(document["proof"]), known) if document.get("proof") else None


def verify_export(document: Mapping[str, Any], known: Verifier) -> tuple[int, int]:
    """Verify all entries of a survivor's copy; return how many are proven, and how many were not yet in the ledger."""
    waiting, entries = 0, document.get("ledger")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Broken("this is no survivor's copy")
    for entry in entries:
        if entry.get("proof") is None:
            waiting += 1
            continue
        try:
            verify_leaf(leaf_shown(entry), str(entry["proof"]), known)
        except (Broken, ValueError) as error:
            raise Broken(f"line {entry.get('position')} of the copy: {error}") from error
    return len(entries) - waiting, waiting


def _promised(processing: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a grant's entry must say, where it says anything of it."""
    return {
        "purpose": processing["purposes"][0]["purpose"],
        "categories": [each["pii_type"] for each in processing["pii_information"]],
        "notice_version": processing["privacy_notice"]["version"],
        "notice_sha256": processing["privacy_notice"]["sha256"],
    }


Kept = dict[tuple[int, int], list[bytes]]


def _sound_tiles(read: Read, size: int, found: Findings) -> Iterator[tuple[tuple[int, int], list[bytes]]]:
    """Yield every complete tile: its level and number, and its hashes."""
    for tile in tiles_of(size):
        content = _read(read, tile)
        hashes = hashes_in(content or b"")[: tile.width]
        if content is None or len(hashes) < tile.width or len(hashes[-1]) < len(EMPTY_ROOT):
            found.wrong.append(f"tile {tile.path} is missing or too short")
            continue
        found.tiles += 1
        yield (tile.level, tile.index), hashes


def _read(read: Read, tile: Tile) -> bytes | None:
    # A log may drop a partial tile once it has the whole one, whose beginning is the same.
    return read(f"tile/{tile.path}") or read(f"tile/{Tile(tile.level, tile.index).path}")


def _check_levels(kept: Kept, size: int, found: Findings) -> None:
    """Check that each whole tile hashes to its place in the level above."""
    for (level, number), hashes in kept.items():
        above = kept.get((level + 1, number // WIDTH))
        if len(hashes) == WIDTH and above and above[number % WIDTH] != folded(hashes):
            first = number * WIDTH ** (level + 1)
            last = min(first + WIDTH ** (level + 1), size) - 1
            found.wrong.append(f"the hashes of entries {first} to {last} are not those of the level above")


def _check_entries(read: Read, kept: Kept, size: int, found: Findings) -> None:
    for number in range(-(-size // WIDTH)):
        width = min(WIDTH, size - number * WIDTH)
        bundle = _read(read, Tile(ENTRIES, number, width))
        try:
            entries = [leaf_hash(entry) for entry in unbundled(bundle or b"")]
        except ValueError:
            entries = []
        if not entries:
            found.wrong.append(f"the bundle of entries {number * WIDTH} to {number * WIDTH + width - 1} cannot be read")
            continue
        found.entries += min(len(entries), width)
        if (0, number) in kept:
            found.wrong += _differences(number * WIDTH, kept[0, number][:width], entries[:width])


def _differences(first: int, wanted: Sequence[bytes], there: Sequence[bytes]) -> list[str]:
    """Return sentences on how the entries differ from those whose hashes the tree holds."""
    wrong = [place for place, hash_ in enumerate(wanted) if there[place : place + 1] != [hash_]]
    if not wrong:
        return []
    at, last = wrong[0], len(wanted) - 1
    if at == len(there):
        missing = f"entries {first + at} to {first + last} are" if at < last else f"entry {first + at} is"
        return [f"{missing} missing"]
    if wanted[at + 1 :][: len(there) - at] == there[at:][: len(wanted) - at - 1] and len(wrong) == len(wanted) - at:
        return [f"entry {first + at} was dropped: those after it have moved up"]
    places = {hash_: place for place, hash_ in enumerate(wanted)}
    return [_difference(first, place, there[place] if place < len(there) else None, places) for place in wrong]


def _difference(first: int, place: int, there: bytes | None, places: dict[bytes, int]) -> str:
    if there is None:
        return f"entry {first + place} is missing"
    if there in places:
        return f"entry {first + place} was moved: in its place stands entry {first + places[there]}"
    return f"entry {first + place} was edited: it is not the one that the tree holds"


def _check_roots(kept: Kept, heads: Sequence[Checkpoint], found: Findings) -> None:
    """Check that every signed root is of the same tree; from the first that is not, the history was rewritten."""
    node = reader(lambda level, number: b"".join(kept.get((level, number), [])))
    sound = reached = 0
    for head in sorted(heads, key=lambda head: head.size):
        if head.size > reached:
            sound, reached = reached, head.size
        try:
            root = range_hash(0, head.size, node) if head.size else EMPTY_ROOT
        except LookupError:
            found.wrong.append(f"a tree of {head.size} entries was signed, and there are fewer: the end was cut off")
            return
        if root != head.root:
            found.wrong.append(
                f"history was rewritten among entries {sound} to {head.size - 1}: "
                f"what was signed for {head.size} entries is another tree"
            )
            return
