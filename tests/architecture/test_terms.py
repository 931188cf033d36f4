"""French sentences of both sets of pages use one term for one thing and the typography of Canada."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from tests.support.catalogues import kept

PAGES = ("services.consent.pages", "services.reporting.pages")
TERMS = {
    r"\bPIN\b": "NIP",
    r"\bslips?\b": "billet",
    r"\bstop card\b": "carte pour tout arrêter",
    r"\bnotices?\b": "avis",
    r"\bsecond look\b": "deuxième regard",
    r"\bscreen reader\b": "lecteur d’écran",
    r"\bpublications?\b": "publication|parution|figure",
    r"\bsurvivors?\b": "personnes? survivantes?",
}
# Each of these was used in place of an agreed term; “Compte” on a page would mean an account.
SHUNNED = r"\bôte|\bsecond regard|\bsupprim|^Compte$|\bqu’il voulait|peut-il|\bUne chose\b"
SIGNS = r"[^\u00a0\u202f]:(?!//)|«[^\u00a0]|[^\u00a0]»|\s[?!;]|['“”]|\.\.\."


def sentences(package: str) -> dict[str, str]:
    """Return the French translation of each English sentence."""
    found = kept(Path(str(files(package))), "fr")
    return {str(message.id): str(message.string) for message in found if message.id}


@pytest.mark.parametrize("package", PAGES)
def test_french_sentences_use_the_agreed_terms(package: str) -> None:
    told = sentences(package)
    wrong = {
        english: french
        for english, french in told.items()
        for term, name in TERMS.items()
        if re.search(term, english) and not re.search(name, french, re.IGNORECASE)
    }
    assert wrong == {}
    assert {french for french in told.values() if re.search(SHUNNED, french)} == set()


@pytest.mark.parametrize("package", PAGES)
def test_french_typography_follows_canadian_rules(package: str) -> None:
    """A question mark follows without a space; a no-break space stands before a colon and inside quotation marks."""
    assert {french for french in sentences(package).values() if re.search(SIGNS, french)} == set()
