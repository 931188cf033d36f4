"""A client of transparency logs, written from the C2SP and RFC 6962 texts alone; it shares no code with the product."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Fetch = Callable[[str], bytes]


def tree_hash(leaves: list[bytes]) -> bytes:
    """Return MTH of RFC 6962, section 2.1, over leaf hashes."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + tree_hash(leaves[:split]) + tree_hash(leaves[split:])).digest()


def path(place: int, leaves: list[bytes]) -> list[bytes]:
    """Return PATH of RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if place < split:
        return [*path(place, leaves[:split]), tree_hash(leaves[split:])]
    return [*path(place - split, leaves[split:]), tree_hash(leaves[:split])]


def subproof(old: int, leaves: list[bytes], complete: bool) -> list[bytes]:
    """Return SUBPROOF of RFC 6962, section 2.1.2."""
    if old == len(leaves):
        return [] if complete else [tree_hash(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if old <= split:
        return [*subproof(old, leaves[:split], complete), tree_hash(leaves[split:])]
    return [*subproof(old - split, leaves[split:], False), tree_hash(leaves[:split])]


@dataclass(frozen=True, slots=True)
class Head:
    """A checkpoint with a valid signature."""

    origin: str
    size: int
    root: bytes


def open_checkpoint(note: str, vkey: str) -> Head:
    """Verify a signed note with a vkey and return it as a checkpoint; raise `AssertionError` or `InvalidSignature`."""
    name, key_id, material = vkey.strip().split("+", 2)
    key = base64.b64decode(material)
    assert key[0] == 1
    assert hashlib.sha256(name.encode() + b"\n\x01" + key[1:]).digest()[:4].hex() == key_id
    text, signatures = note[: note.rindex("\n\n") + 1], note[note.rindex("\n\n") + 2 :]
    for line in signatures.splitlines():
        dash, signer, encoded = line.split(" ")
        assert dash == "—"
        signature = base64.b64decode(encoded)
        if signer == name and signature[:4].hex() == key_id:
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], text.encode())
            break
    else:
        raise AssertionError("nobody we know has signed this")
    origin, size, root = text.splitlines()[:3]
    assert origin == name
    return Head(origin, int(size), base64.b64decode(root))


def cosigned_by(note: str, name: str, public: bytes) -> int:
    """Return the time of a witness's cosignature (c2sp.org/tlog-cosignature); raise `AssertionError` if there is none."""
    key_id = hashlib.sha256(name.encode() + b"\n\x04" + public).digest()[:4]
    text, signatures = note[: note.rindex("\n\n") + 1], note[note.rindex("\n\n") + 2 :]
    for line in signatures.splitlines():
        _, signer, encoded = line.split(" ")
        raw = base64.b64decode(encoded)
        if signer == name and raw[:4] == key_id:
            time = int.from_bytes(raw[4:12], "big")
            message = f"cosignature/v1\ntime {time}\n{text}"
            Ed25519PublicKey.from_public_bytes(public).verify(raw[12:], message.encode())
            return time
    raise AssertionError("not cosigned by that witness")


def tile_name(level: str, number: int, width: int) -> str:
    """Return the path of a tile: `tile/<L>/<N>[.p/<W>]`."""
    elements = [f"{number % 1000:03}"]
    while number >= 1000:
        number //= 1000
        elements.insert(0, f"x{number % 1000:03}")
    return f"tile/{level}/" + "/".join(elements) + (f".p/{width}" if width != 256 else "")


def read_log(fetch: Fetch, vkey: str) -> tuple[Head, list[bytes]]:
    """Read a whole log; check all tiles and entries against each other and the signed root; return checkpoint and entries."""
    head = open_checkpoint(fetch("checkpoint").decode(), vkey)
    entries: list[bytes] = []
    hashes: list[bytes] = []
    for number in range((head.size + 255) // 256):
        width = min(256, head.size - number * 256)
        bundle = fetch(tile_name("entries", number, width))
        found = []
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            found.append(bundle[2 : 2 + length])
            bundle = bundle[2 + length :]
        assert len(found) == width
        entries += found
        hashes += [hashlib.sha256(b"\x00" + entry).digest() for entry in found]
    assert tree_hash(hashes) == head.root
    level, row = 0, hashes
    while row:
        for number in range((len(row) + 255) // 256):
            part = row[number * 256 : number * 256 + 256]
            assert fetch(tile_name(str(level), number, len(part))) == b"".join(part)
        row = [tree_hash(row[number * 256 : number * 256 + 256]) for number in range(len(row) // 256)]
        level += 1
    return head, entries
