"""Signed notes, and the checkpoints, cosignatures and proofs of inclusion in them, as C2SP specifies.

See https://c2sp.org/signed-note, /tlog-checkpoint, /tlog-cosignature and /tlog-proof; Ed25519 throughout.
"""

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PLAIN, COSIGNATURE = 1, 4
_NAME = re.compile(r"[^\s+\x00-\x1f]{1,200}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_SIGNATURES = 64
_PROOF = "c2sp.org/tlog-proof@v1"
_PROOF_LINES = 63


class NotANote(ValueError):
    """A text is not a signed note of this kind, or no known key has signed it."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """A known public key: its name, the kind of its signatures, and its 32 bytes."""

    name: str
    kind: int
    key: bytes

    @property
    def id(self) -> bytes:
        """Return the key's identifier of four bytes."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64encode(bytes([self.kind]) + self.key).decode()}"

    def verifies(self, signature: bytes, body: str) -> bool:
        """Tell whether a signature (without the key's identifier) over a note's text is by this key."""
        message = body.encode()
        if self.kind == COSIGNATURE:
            message, signature = _cosigned(int.from_bytes(signature[:8], "big"), body), signature[8:]
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, message)
        except InvalidSignature:
            return False
        return True


def verifier(text: str) -> Verifier:
    """Parse a verifier key (`vkey`); raises `NotANote`."""
    name, _, rest = text.strip().partition("+")
    _, _, spelled = rest.partition("+")
    material = _bytes(spelled)
    if not _NAME.fullmatch(name) or len(material) != 33 or material[0] not in {PLAIN, COSIGNATURE}:
        raise NotANote("not a verifier key for Ed25519")
    known = Verifier(name, material[0], material[1:])
    if str(known) != text.strip():
        raise NotANote("not a verifier key: its identifier is not that of its key")
    return known


@dataclass(frozen=True, slots=True)
class Note:
    """A text with signatures, each with the name of its key; the first four bytes identify the key."""

    body: str
    signatures: tuple[tuple[str, bytes], ...]

    def __str__(self) -> str:
        lines = [f"— {name} {b64encode(signature).decode()}\n" for name, signature in self.signatures]
        return f"{self.body}\n{''.join(lines)}"

    def signature_by(self, known: Verifier) -> bytes | None:
        """Return the signature by a key, None if it has not signed; raises `NotANote` if its signature is wrong."""
        for name, signature in self.signatures:
            if name == known.name and signature[:4] == known.id:
                if not known.verifies(signature[4:], self.body):
                    raise NotANote(f"the signature by {known.name} is not over this text")
                return signature[4:]
        return None


def note(text: str) -> Note:
    """Parse a signed note without verifying it; raises `NotANote`."""
    body, gap, signed = text.rpartition("\n\n")
    lines = signed.split("\n")
    if not gap or lines.pop() != "" or not 1 <= len(lines) <= _SIGNATURES or re.search(r"[\x00-\x09\x0b-\x1f]", text):
        raise NotANote("not a signed note")
    return Note(f"{body}\n", tuple(map(_signature, lines)))


def signed(body: str, name: str, key: Ed25519PrivateKey) -> Note:
    """Return a note with one plain signature."""
    by = Verifier(name, PLAIN, key.public_key().public_bytes_raw())
    return Note(body, ((name, by.id + key.sign(body.encode())),))


def cosignature(body: str, name: str, key: Ed25519PrivateKey, seconds: int) -> tuple[str, bytes]:
    """Return name and signature of a witness over a checkpoint's text, at a time in seconds since 1970."""
    by = Verifier(name, COSIGNATURE, key.public_key().public_bytes_raw())
    return name, by.id + seconds.to_bytes(8, "big") + key.sign(_cosigned(seconds, body))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The commitment of a log: its name, the number of its leaves, and their root."""

    origin: str
    size: int
    root: bytes

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


def checkpoint(body: str) -> Checkpoint:
    """Parse a note's text as a checkpoint; raises `NotANote`."""
    lines = body.split("\n")
    if len(lines) < 4 or not all(lines[:-1]) or lines[-1] or not _NUMBER.fullmatch(lines[1]):
        raise NotANote("not a checkpoint")
    root = _bytes(lines[2])
    if len(root) != 32:
        raise NotANote("not a checkpoint: the root is not a SHA-256 hash")
    return Checkpoint(lines[0], int(lines[1]), root)


@dataclass(frozen=True, slots=True)
class Proof:
    """The proof that a leaf has an index in the tree of a checkpoint, with the note of that checkpoint."""

    index: int
    hashes: tuple[bytes, ...]
    note: str
    extra: bytes | None = None
    """Data of the application, such as the way from an entry to its leaf."""

    def __str__(self) -> str:
        extra = [] if self.extra is None else [f"extra {b64encode(self.extra).decode()}"]
        lines = [_PROOF, *extra, f"index {self.index}", *(b64encode(hash_).decode() for hash_ in self.hashes)]
        return "\n".join([*lines, "", self.note])


def proof(text: str) -> Proof:
    """Parse a proof of inclusion; raises `NotANote`."""
    head, gap, rest = text.partition("\n\n")
    lines = head.split("\n")
    extra = len(lines) > 1 and lines[1].startswith("extra ")
    first, *hashes = lines[2 if extra else 1 :] or [""]
    label, _, number = first.partition(" ")
    if not gap or lines[0] != _PROOF or label != "index" or not _NUMBER.fullmatch(number) or len(hashes) > _PROOF_LINES:
        raise NotANote("not a proof of inclusion")
    path = tuple(map(_bytes, hashes))
    if any(len(hash_) != 32 for hash_ in path):
        raise NotANote("not a proof of inclusion")
    return Proof(int(number), path, rest, _bytes(lines[1].removeprefix("extra ")) if extra else None)


def _signature(line: str) -> tuple[str, bytes]:
    dash, _, rest = line.partition(" ")
    name, _, spelled = rest.partition(" ")
    signature = _bytes(spelled)
    if dash != "—" or not _NAME.fullmatch(name) or len(signature) < 5:
        raise NotANote("not a signature line")
    return name, signature


def _cosigned(seconds: int, body: str) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{body}".encode()


def _bytes(text: str) -> bytes:
    """Decode standard base64; raises `NotANote` for all but its canonical encoding."""
    try:
        found = b64decode(text, validate=True)
    except ValueError as error:
        raise NotANote("not base64") from error
    if b64encode(found).decode() != text:
        raise NotANote("not base64 in its one spelling")
    return found
