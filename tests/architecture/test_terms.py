"""One thing has one name, in every sentence of both sets of pages, and French is set as it is set in Canada."""

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
# Each was used where its thing has another name, and “Compte” on a page is an account.
SHUNNED = r"\bôte|\bsecond regard|\bsupprim|^Compte$|\bqu’il voulait|peut-il|\bUne chose\b"
SIGNS = r"[^\u00a0\u202f]:(?!//)|«[^\u00a0]|[^\u00a0]»|\s[?!;]|['“”]|\.\.\."


def sentences(package: str) -> dict[str, str]:
    """Each sentence with its French."""
    found = kept(Path(str(files(package))), "fr")
    return {str(message.id): str(message.string) for message in found if message.id}


@pytest.mark.parametrize("package", PAGES)
def test_one_thing_has_one_name_in_french(package: str) -> None:
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
def test_french_is_set_with_the_signs_and_spaces_of_canada(package: str) -> None:
    """No space before a question mark, one that does not break before a colon and within quotation marks."""
    assert {french for french in sentences(package).values() if re.search(SIGNS, french)} == set()
