"""No sentence of the public pages is missing in any language, and nothing stands on them outside of the catalogue."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from services.common.languages import LANGUAGES
from services.reporting.pages.languages import Words, catalogue
from tests.reporting.test_plan import DIMENSIONS, TABLES

FOLDER = Path(str(files("services.reporting.pages")))
OTHERS = [language for language in LANGUAGES if language != "en"]
PLACE = re.compile(r"%\(\w+\)s")


def kept(language: str) -> Catalog:
    with (FOLDER / "translations" / f"{language}.po").open("rb") as source:
        return read_po(source, locale=language, abort_invalid=True)


@pytest.mark.parametrize("language", OTHERS)
def test_no_sentence_is_missing_and_none_is_left_over(language: str) -> None:
    options = {"templates/**.html": {"trim_blocks": "true", "lstrip_blocks": "true"}}
    methods = [("**.py", "python"), ("templates/**.html", "jinja2")]
    said = {str(message) for _, _, message, _, _ in extract_from_dir(str(FOLDER), methods, options)}
    assert len(said) > 80
    known = {str(message.id): message for message in kept(language) if message.id}
    assert set(known) == said
    assert [name for name, message in known.items() if not message.string or message.fuzzy] == []
    assert catalogue(language).gettext("not shown") == "non montré"


@pytest.mark.parametrize("language", OTHERS)
def test_a_sentence_names_the_same_things_in_each_language(language: str) -> None:
    for message in kept(language):
        assert sorted(PLACE.findall(str(message.id))) == sorted(PLACE.findall(str(message.string))), message.id


def test_nothing_that_anybody_reads_stands_outside_the_catalogue() -> None:
    for path in sorted((FOLDER / "templates").glob("*.html")):
        text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|<!--.*?-->", "", path.read_text("utf-8"), flags=re.DOTALL)
        assert set(re.findall(r">[^<]*?(?<![/\w])([A-Za-z]{3,})[^<]*<", text)) <= {"JSON"}, path.name
        assert not re.search(r'(aria-label|title|placeholder|alt)="[^"{]*[A-Za-z]', text), path.name


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_table_and_indicator_of_the_plan_has_a_name(language: str) -> None:
    words = Words(language, 1)
    named = [words.code(name, code) for name in DIMENSIONS for code in DIMENSIONS[name]["within"]]
    named += [words.table(table["id"]) for table in TABLES]
    named += [words.indicator(name) for table in TABLES for name in table["indicators"]]
    assert all(named)


def test_numbers_are_written_as_each_language_writes_them() -> None:
    assert [Words(language, 1).number(1340) for language in LANGUAGES] == ["1,340", "1\u00a0340"]
    assert [Words(language, 1).share("<=10") for language in LANGUAGES] == ["10% or less", "10\u00a0% ou moins"]
    assert [Words(language, 1).share(">=90") for language in LANGUAGES] == ["90% or more", "90\u00a0% ou plus"]
    assert Words("en", 1).period("2026-Q4") == "January to March 2027"
