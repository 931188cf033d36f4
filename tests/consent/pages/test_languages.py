"""Languages of the survivor's pages: complete catalogues, times and days, reading ease, and readiness for more languages."""

import re
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import schemas
from services.consent.pages import labels
from services.consent.pages.labels import LANGUAGES, catalogue, preferred, templates
from services.consent.policy import duty_rules, privacy_notice
from tests.support.catalogues import OTHERS, PLACE, amiss, kept, outside, said, unlike
from tests.support.reading import english_grade, french_ease

FOLDER = Path(str(files("services.consent.pages")))
CHOICES = ("categories", "purposes")
TORONTO = ZoneInfo("America/Toronto")


@pytest.mark.parametrize("language", OTHERS)
def test_catalogue_has_exactly_the_sentences_of_the_pages(language: str) -> None:
    assert len(said(FOLDER)) > 250
    assert amiss(FOLDER, language) == set()


@pytest.mark.parametrize("language", OTHERS)
def test_translations_keep_the_placeholders(language: str) -> None:
    assert unlike(FOLDER, language) == []


@pytest.mark.parametrize("language", OTHERS)
def test_pages_use_the_sentences_of_the_catalogue(language: str) -> None:
    assert catalogue(language).gettext("Leave now") == kept(FOLDER, language).get("Leave now").string != "Leave now"  # type: ignore[union-attr]


def test_templates_have_no_text_outside_the_catalogue() -> None:
    """Every text between the tags of a template comes through the catalogue."""
    outsiders = {path.name: found for path in (FOLDER / "templates").glob("*.html") if (found := outside(path))}
    assert outsiders == {}


def test_right_to_left_language_needs_only_its_catalogue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(labels, "catalogue", lambda _language: catalogue("en"))
    assert templates.__wrapped__("ar", TORONTO).globals["direction"] == "rtl"
    assert templates.__wrapped__("fr", TORONTO).globals["direction"] == "ltr"
    style = (FOLDER / "static" / "page.css").read_text("utf-8")
    sides = re.findall(
        r"(?:margin|padding|border|inset)-(?:left|right)|(?<![-\w])(?:left|right)\s*:|text-align:\s*(?:left|right)",
        style,
    )
    assert sides == [], "the style speaks of start and end, never of left and right"


@pytest.mark.parametrize(
    ("language", "place", "told"),
    [
        ("en", "America/Toronto", "November 22, 2026, 11:30 p.m., Eastern Standard Time"),
        ("fr", "America/Toronto", "22 novembre 2026, 23 h 30, heure normale de l’Est"),
        ("en", "America/St_Johns", "November 23, 2026, 1:00 a.m., Newfoundland Standard Time"),
        ("fr", "America/Vancouver", "22 novembre 2026, 20 h 30, heure normale du Pacifique"),
        ("en", "UTC", "November 23, 2026, 4:30 a.m., Coordinated Universal Time"),
    ],
)
def test_time_is_shown_in_the_zone_and_names_it(language: str, place: str, told: str) -> None:
    instant = datetime(2026, 11, 23, 4, 30, tzinfo=UTC)
    filters = templates(language, ZoneInfo(place)).filters
    plain = str.maketrans("\u00a0\u202f", "  ")
    assert filters["moment"](instant).translate(plain) == told
    assert told.startswith(filters["day"](instant)), "and a day is that place's day"


def test_time_in_the_repeated_hour_is_unambiguous() -> None:
    """When clocks go back, one hour comes twice; the name of the zone tells which of the two is meant."""
    moment = templates("en", TORONTO).filters["moment"]
    first, second = (moment(datetime(2026, 11, 1, hour, 30, tzinfo=UTC)) for hour in (5, 6))
    assert first.endswith("Eastern Daylight Saving Time")
    assert second.endswith("Eastern Standard Time")


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("fr-CA,fr;q=0.9,en;q=0.8", "fr"),
        ("en-CA", "en"),
        ("cr,fr;q=0.5", "fr"),
        ("cr", "en"),
        ("", "en"),
        (";;,", "en"),
    ],
)
def test_first_language_follows_accept_language(accepted: str, language: str) -> None:
    assert preferred(accepted) == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_reads_at_grade_six(language: str) -> None:
    """At most grade 6 in English and the matching ease in French, for all sentences together and for each long one."""
    sentences = [PLACE.sub("Aspen", catalogue(language).gettext(text)) for text in sorted(said(FOLDER))]
    member = {"en": "description", "fr": "x-description-fr"}[language]
    told = [str(code.extra[member]) for name in CHOICES for code in schemas.codes(name)]
    too_hard = partial(_too_hard, language)

    assert not too_hard(sentences)
    assert not too_hard(privacy_notice(language).text.splitlines())
    assert not too_hard([duty_rules().second_look_why[language]])
    assert [text for text in [*sentences, *told] if len(text.split()) >= 8 and too_hard([text], slack=1)] == []


def _too_hard(language: str, texts: list[str], slack: int = 0) -> bool:
    if language == "en":
        return english_grade(texts) > 6 + slack
    return french_ease(texts) < 80 - 10 * slack


def test_readability_measures_tell_hard_from_easy() -> None:
    hard = (
        "Notwithstanding applicable jurisdictional considerations, authorization presupposes informed acknowledgement."
    )
    assert english_grade(["You can take it back at any time."]) < 4
    assert english_grade([hard]) > 12
    dur = "Nonobstant les considérations juridictionnelles applicables, l’autorisation présuppose une reconnaissance."
    assert french_ease(["Vous pouvez reprendre à tout moment."]) > 80
    assert french_ease([dur]) < 40


@pytest.mark.parametrize("language", LANGUAGES)
def test_passphrase_label_differs_from_every_category_label(language: str) -> None:
    """ "Example Shelter may see Your words" would tell her that the agency can sign in with them."""
    way_in = catalogue(language).gettext("Your words")
    assert way_in not in {schemas.label("categories", code.code, language) for code in schemas.codes("categories")}


def test_first_day_of_month_is_written_as_in_each_language() -> None:
    first, last = datetime(2026, 6, 1, 12, tzinfo=UTC), datetime(2026, 12, 31, 12, tzinfo=UTC)
    french, english = templates("fr", TORONTO).filters, templates("en", TORONTO).filters
    assert (french["day"](first), french["day"](last)) == ("1er juin 2026", "31 décembre 2026")
    assert french["moment"](first).startswith("1er juin 2026, ")
    assert french["day"](datetime(2026, 6, 11, 12, tzinfo=UTC)) == "11 juin 2026"
    assert english["day"](first) == "June 1, 2026"


@pytest.mark.parametrize("language", OTHERS)
def test_catalogue_keeps_its_header_and_plural_forms(language: str) -> None:
    """`make catalogue` rewrites the file and must keep both."""
    head = (FOLDER / "translations" / f"{language}.po").read_text("utf-8").partition("\n\n")[0]
    assert head.startswith("# ")
    assert f"Language: {language}" in head
    assert "Plural-Forms" in head
