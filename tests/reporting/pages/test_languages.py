"""No sentence of the public pages is missing in any language, and nothing stands on them outside of the catalogue."""

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
def test_no_sentence_is_missing_and_none_is_left_over(language: str) -> None:
    assert len(said(FOLDER)) > 80
    assert amiss(FOLDER, language) == set()
    assert catalogue(language).gettext("not shown") == "non montré"


@pytest.mark.parametrize("language", OTHERS)
def test_a_sentence_names_the_same_things_in_each_language(language: str) -> None:
    assert unlike(FOLDER, language) == []


def test_nothing_that_anybody_reads_stands_outside_the_catalogue() -> None:
    assert set().union(*(outside(path) for path in (FOLDER / "templates").glob("*.html"))) == {"JSON"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_table_and_indicator_of_the_plan_has_a_name(language: str) -> None:
    words = Labels(language, 1)
    named = [words.code(name, code) for name in DIMENSIONS for code in DIMENSIONS[name]["within"]]
    named += [words.table(table["id"]) for table in TABLES]
    named += [words.indicator(name) for table in TABLES for name in table["indicators"]]
    assert all(named)


def test_numbers_are_written_as_each_language_writes_them() -> None:
    assert [Labels(language, 1).number(1340) for language in LANGUAGES] == ["1,340", "1\u00a0340"]
    assert [Labels(language, 1).share("<=10") for language in LANGUAGES] == ["10% or less", "10\u00a0% ou moins"]
    assert [Labels(language, 1).share(">=90") for language in LANGUAGES] == ["90% or more", "90\u00a0% ou plus"]
    assert Labels("en", 1).period("2026-Q4") == "January to March 2027"


def test_no_french_page_has_signs_as_english_sets_them(web: TestClient) -> None:
    """In French there is room before a colon and a percent sign, and other quotation marks."""
    for path in every_path(web):
        if path.startswith(f"{HOME}/fr/"):
            words = re.sub(r"<[^>]*>", " ", web.get(path).text)
            assert re.findall(r"[^\W\d]: |“|\d%", words) == [], path
