"""Tells whether two agencies' names look alike: but for case, blanks, accents, punctuation and look-alike letters; pure."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from unicodedata import category, normalize

# The library wraps letters that are written from right to left in this mark.
_MARK = "\u200e"
# Characters that show nothing, beside those that `str.isspace` knows and those that no name may hold.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0") | {
    chr(code) for start, end in ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF)) for code in range(start, end + 1)
}

# An accent is easily overlooked, above all in capitals, where French often leaves it out.
_ACCENTS = frozenset(map(chr, range(0x0300, 0x0370)))


def are_alike(one: str, other: str) -> bool:
    """Return whether a reader could take one name for the other."""
    return not _forms(one).isdisjoint(_forms(other))


@cache
def _forms(name: str) -> frozenset[str]:
    """Return the name's skeletons: as written, in lower and in upper case, since letters look alike in one case only."""
    shown = "".join(character for character in normalize("NFKC", name) if not _is_passed_over(character))
    return frozenset(_skeleton(form).casefold() for form in (shown, shown.casefold(), shown.upper()))


def _is_passed_over(character: str) -> bool:
    """Tell whether a reader passes over a character: a blank, an invisible one, or punctuation."""
    return character.isspace() or character in _INVISIBLE or category(character).startswith("P")


def _skeleton(text: str) -> str:
    """Return the skeleton of UTS 39, section 4, without accents: each character's prototype."""
    prototypes = _prototypes()
    plain = (character for character in normalize("NFD", text) if character not in _ACCENTS)
    return normalize("NFD", "".join(prototypes.get(character, character) for character in plain))


@cache
def _prototypes() -> Mapping[str, str]:
    """Return each confusable character's prototype, read when first asked for: the table takes a megabyte.

    The library links a prototype and its look-alikes both ways: a prototype is the one of a pair with several links.
    """
    table = import_module("confusable_homoglyphs.confusables").confusables_data
    links = {key.strip(_MARK): {item["c"].strip(_MARK) for item in items} for key, items in table.items()}
    found: dict[str, str] = {}
    for character, linked in links.items():
        if len(character) == 1:
            nodes = [*linked, character]
            found[character] = max(nodes, key=lambda node: (len(node) > 1, len(links[node]), node.isascii(), node))
    return found
