"""The glossary defines each term once, and no name in the code bears a word that it retires."""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.architecture.tree import Function, modules, parsed, text

ROW = re.compile(r"^\| (?P<term>[^|]+?) \| (?P<meaning>[^|]+?) \|(?P<retires>[^|]*)\|$", re.MULTILINE)
SEGMENT = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
EVERY_FILE = modules("services", "schemas", "tools", "examples", "bench", "deploy", "tests")


class Row(NamedTuple):
    """One row of the glossary."""

    term: str
    meaning: str
    retires: tuple[str, ...]


def glossary() -> list[Row]:
    """Return the rows of the glossary's tables, without their headings."""
    found = [match.groupdict() for match in ROW.finditer(text("docs/glossary.md")) if match["term"] != "term"]
    return [Row(row["term"], row["meaning"], segments(row["retires"])) for row in found if "---" not in row["term"]]


def segments(name: str) -> tuple[str, ...]:
    """Split an identifier or a phrase into lower-case words: `_readBox` into `read`, `box`."""
    return tuple(segment.lower() for segment in SEGMENT.findall(name))


ROWS = glossary()
RETIRED = {word for row in ROWS for word in row.retires}
COMPOUNDS = [segments(row.term) for row in ROWS if len(segments(row.term)) > 1]


def retired_segments(name: str) -> set[str]:
    """Return the retired words in a name, singular or plural, except inside of a defined compound term."""
    joined = f" {' '.join(segments(name))} "
    for compound in COMPOUNDS:
        joined = re.sub(rf"(?<= ){' '.join(compound)}s?(?= )", "", joined)
    left = set(joined.split())
    return {word for word in RETIRED if left & {word, f"{word}s", f"{word}es"}}


def names(file: str, tree: ast.Module) -> Iterator[str]:
    """Yield the name of a module and of each class and function in it."""
    yield file.removesuffix("/__init__.py").removesuffix(".py").rpartition("/")[2]
    yield from (node.name for node in ast.walk(tree) if isinstance(node, Function | ast.ClassDef))


def test_glossary_has_terms_and_retired_segments() -> None:
    assert len(ROWS) > 40
    assert {"box", "door", "patience", "duties", "look", "room", "line", "words"} <= RETIRED


def test_each_term_is_defined_once() -> None:
    """Two spellings (hyphen or space, capital or not, plural or not) count as one term."""
    terms = [" ".join(segments(row.term)).removesuffix("s") for row in ROWS]
    assert sorted(terms) == sorted(set(terms))


def test_each_meaning_is_a_sentence() -> None:
    assert [row.term for row in ROWS if not row.meaning[0].isupper() or row.meaning[-1] not in ".?"] == []


def test_no_term_is_retired() -> None:
    assert {row.term for row in ROWS} & RETIRED == set()


@pytest.mark.parametrize("name", EVERY_FILE)
def test_names_hold_no_retired_term(name: str) -> None:
    assert {found: held for found in names(name, parsed(name)) if (held := retired_segments(found))} == {}


@pytest.mark.parametrize("name", ["read_box", "Boxes", "_Box", "test_a_door_opens", "new_words", "look_up", "rooms"])
def test_retired_word_is_found(name: str) -> None:
    assert retired_segments(name)


@pytest.mark.parametrize(
    "name", ["SecondLookRule", "second_looks", "log_line", "inbox", "outlook", "word_lists", "linear"]
)
def test_compound_term_and_longer_word_are_allowed(name: str) -> None:
    assert retired_segments(name) == set()
