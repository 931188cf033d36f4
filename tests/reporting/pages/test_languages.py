"""Every sentence of the public pages is translated, and no text stands outside the catalogue."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from services.common.http.i18n import LANGUAGES
from services.reporting.pages.labels import Labels, catalogue
from tests.reporting.test_plan import DIMENSIONS, TABLES
from tests.support.catalogues import OTHERS, amiss, outside, said, unlike
from tests.support.report_pages import HOME, every_path

FOLDER = Path(str(files("services.reporting.pages")))


@pytest.mark.parametrize("language", OTHERS)
def test_catalogue_has_every_sentence_and_no_other(language: str) -> None:
    assert len(said(FOLDER)) > 80
    assert amiss(FOLDER, language) == set()
    assert catalogue(language).gettext("not shown") == "non montré"


@pytest.mark.parametrize("language", OTHERS)
def test_translations_have_equal_placeholders(language: str) -> None:
    assert unlike(FOLDER, language) == []


def test_no_text_stands_outside_the_catalogue() -> None:
    assert set().union(*(outside(path) for path in (FOLDER / "templates").glob("*.html"))) == {"JSON"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_table_and_indicator_of_the_plan_has_a_name(language: str) -> None:
    labels = Labels(language, 1)
    named = [labels.code(name, code) for name in DIMENSIONS for code in DIMENSIONS[name]["within"]]
    named += [labels.table(table["id"]) for table in TABLES]
    named += [labels.indicator(name) for table in TABLES for name in table["indicators"]]
    assert all(named)


def test_numbers_are_written_as_each_language_writes_them() -> None:
    assert [Labels(language, 1).number(1340) for language in LANGUAGES] == ["1,340", "1\u00a0340"]
    assert [Labels(language, 1).share("<=10") for language in LANGUAGES] == ["10% or less", "10\u00a0% ou moins"]
    assert [Labels(language, 1).share(">=90") for language in LANGUAGES] == ["90% or more", "90\u00a0% ou plus"]
    assert Labels("en", 1).period("2026-Q4") == "January to March 2027"


def test_french_pages_have_french_punctuation(web: TestClient) -> None:
    """French has a space before a colon and a percent sign, and its own quotation marks."""
    for path in every_path(web):
        if path.startswith(f"{HOME}/fr/"):
            text = re.sub(r"<[^>]*>", " ", web.get(path).text)
            assert re.findall(r"[^\W\d]: |“|\d%", text) == [], path
