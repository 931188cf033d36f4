"""Searches files for a text in every encoding in which software tends to write bytes."""

import os
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote


def spellings(text: str) -> set[bytes]:
    """Return the text as bytes: raw, reversed, UTF-16, hex, URL-escaped, and base64 at each of its three alignments."""
    raw = text.encode()
    found = {
        raw,
        raw[::-1],
        text.encode("utf-16-le"),
        raw.hex().encode(),
        raw.hex().upper().encode(),
        quote(text).encode(),
    }
    for shift in range(3):
        for encode in (b64encode, urlsafe_b64encode):
            whole = encode(bytes(shift) + raw).rstrip(b"=")
            # The first and last characters also depend on the neighbouring bytes, which are not known here.
            found.add(whole[4:-4] if shift else whole[:-4])
    return found


def files_with(texts: Iterable[str], folders: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Yield each text with each file that holds it in any spelling."""
    wanted = {text: spellings(text) for text in texts}
    for path, content in contents(folders):
        # Logs and indices are preallocated with zeros; two zeros may still end a text in UTF-16.
        cut = content.rstrip(b"\0") + b"\0\0"
        for text, forms in wanted.items():
            if any(form in cut for form in forms):
                yield text, path


def contents(folders: Iterable[Path]) -> Iterator[tuple[Path, bytes]]:
    """Yield each file in these folders (or each given file) with its bytes; skip files that a server deletes meanwhile."""
    for folder in folders:
        below = (Path(place, name) for place, _, names in os.walk(folder) for name in sorted(names))
        for path in below if folder.is_dir() else [folder]:
            with suppress(FileNotFoundError):
                if path.is_file():
                    yield path, path.read_bytes()
