"""Every kind of ledger entry has a sentence on the pages."""

import ast
from types import SimpleNamespace

import pytest

import schemas
from services.consent.pages.labels import LANGUAGES
from services.consent.pages.ledger_text import SENTENCES, UNTOLD, sentence, unread
from tests.architecture.tree import modules, parsed

WRITES = {"Entry", "record"}


def written() -> set[str]:
    """Return every kind of entry that the code writes."""
    found = set()
    for name in modules("services/consent"):
        for node in ast.walk(parsed(name)):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in WRITES and node.args):
                continue
            if [ast.unparse(about) for about in node.args[1:2]] != ["None"]:  # None: an entry about no survivor
                found |= {item.value for item in ast.walk(node.args[0]) if isinstance(item, ast.Constant)}
    # The kinds of an opening's outcome are put together in code.
    return {str(kind) for kind in found - {"opening."}} | {
        f"opening.{code}" for code in schemas.code_set("opening_outcomes")
    }


def test_every_ledger_kind_has_a_sentence() -> None:
    kinds = written()
    assert {"registered", "opening.intended", "opening.refused", "letter.used"} <= kinds
    assert kinds - set(SENTENCES) - UNTOLD == set()


def entry(kind: str, **detail: object) -> SimpleNamespace:
    return SimpleNamespace(kind=kind, agency="a-1", detail=detail)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", [*SENTENCES, "something.new"])
def test_every_kind_has_a_sentence_with_sparse_detail(language: str, kind: str) -> None:
    full = entry(kind, categories=["summary"], reason="revoked", days=7, **{"for": "b-2"})
    for row in (full, entry(kind), entry(kind, categories=["no such code"], reason="no such code")):
        told = sentence(row, {"a-1": "Example Outreach", "b-2": "Example Shelter"}, language)
        assert told
        assert "%" not in told


def test_sentence_names_agency_and_categories() -> None:
    names = {"a-1": "Example Outreach", "b-2": "Example Shelter"}
    asked = sentence(entry("request.made", **{"for": "b-2"}), names, "en")
    assert asked == "Example Outreach asked if Example Shelter may see something of yours."
    several = sentence(entry("request.made", one_of=["b-2", "c-3"]), names, "en")
    assert several == "Example Outreach asked if Example Shelter or An agency that has left may see something of yours."
    given = sentence(entry("grant.given", categories=["summary", "housing"], days=7), names, "fr")
    assert given == "Vous avez dit oui\u00a0: Example Outreach peut voir Votre note et Logement, pendant 7 jours."
    assert "An agency that has left" in str(sentence(entry("opening.refused"), {}, "en"))


@pytest.mark.parametrize(("language", "day"), [("en", "November 3, 2026"), ("fr", "3 novembre 2026")])
def test_sentence_writes_a_day_in_her_language(language: str, day: str) -> None:
    told = sentence(entry("compelled.sealed", sealed_until="2026-11-03"), {}, language)
    assert day in str(told)


def test_sentence_names_who_passed_on_spoken_revocation() -> None:
    """She can then see who claimed it, in case she never said it."""
    names = {"a-1": "Example Outreach", "b-2": "Example Shelter"}
    ended = sentence(entry("grant.ended", reason="revoked", told_to="b-2"), names, "en")
    assert ended == "Example Outreach may no longer see what you shared. Example Shelter told us that you said so."
    assert "Example Shelter" in str(sentence(entry("grant.ended", reason="revoked", told_to="b-2"), names, "fr"))
    nothing = sentence(entry("nothing.to.end"), names, "en")
    assert nothing == "Example Outreach told us that you want everything to stop. There was nothing to stop."

    own = sentence(entry("grant.ended", reason="revoked"), names, "en")
    assert own == "Example Outreach may no longer see what you shared. It was taken back."
    by_card = SimpleNamespace(kind="nothing.to.end", agency=None, detail={})
    assert str(sentence(by_card, names, "en")).startswith("Somebody asked")


def test_unknown_kind_has_a_general_sentence() -> None:
    assert "something.new" in str(sentence(entry("something.new"), {}, "en"))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", [*SENTENCES, "something.new"])
def test_entry_with_lost_key_has_a_sentence(language: str, kind: str) -> None:
    told = unread(kind, language)
    assert told
    assert "%" not in told
