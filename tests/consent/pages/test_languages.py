"""No sentence is missing in any language, none says less than the English one, and the frame is ready for more of them."""

import re
from datetime import UTC, datetime
from functools import partial
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import schemas
from services.consent.duty_rules import duty_rules
from services.consent.pages import labels
from services.consent.pages.labels import LANGUAGES, catalogue, preferred, templates
from services.consent.policy import notice
from tests.support.catalogues import OTHERS, PLACE, amiss, kept, outside, said, unlike
from tests.support.reading import english_grade, french_ease

FOLDER = Path(str(files("services.consent.pages")))
CHOICES = ("categories", "purposes")
TORONTO = ZoneInfo("America/Toronto")


@pytest.mark.parametrize("language", OTHERS)
def test_catalogue_has_every_sentence_and_no_other(language: str) -> None:
    assert len(said(FOLDER)) > 250
    assert amiss(FOLDER, language) == set()


@pytest.mark.parametrize("language", OTHERS)
def test_translations_have_equal_placeholders(language: str) -> None:
    assert unlike(FOLDER, language) == []


@pytest.mark.parametrize("language", OTHERS)
def test_what_is_read_is_what_translators_wrote(language: str) -> None:
    assert catalogue(language).gettext("Leave now") == kept(FOLDER, language).get("Leave now").string != "Leave now"  # type: ignore[union-attr]


def test_nothing_that_she_reads_stands_outside_the_catalogue() -> None:
    """Between the marks of a template there are no words but through the catalogue."""
    outsiders = {path.name: found for path in (FOLDER / "templates").glob("*.html") if (found := outside(path))}
    assert outsiders == {}


def test_a_language_that_is_written_from_right_to_left_only_needs_its_catalogue(
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
def test_a_time_is_that_of_the_place_and_says_so(language: str, place: str, told: str) -> None:
    instant = datetime(2026, 11, 23, 4, 30, tzinfo=UTC)
    filters = templates(language, ZoneInfo(place)).filters
    plain = str.maketrans("\u00a0\u202f", "  ")
    assert filters["moment"](instant).translate(plain) == told
    assert told.startswith(filters["day"](instant)), "and a day is that place's day"


def test_in_the_hour_that_comes_twice_a_time_says_which_of_the_two_it_is() -> None:
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
def test_her_browser_says_which_language_to_begin_in(accepted: str, language: str) -> None:
    assert preferred(accepted) == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_easy_to_read(language: str) -> None:
    """At most grade 6 in English; in French, the ease that goes with it. Long sentences one by one, all of them together."""
    sentences = [PLACE.sub("Aspen", catalogue(language).gettext(text)) for text in sorted(said(FOLDER))]
    member = {"en": "description", "fr": "x-description-fr"}[language]
    told = [str(code.extra[member]) for name in CHOICES for code in schemas.codes(name)]
    too_hard = partial(_too_hard, language)

    assert not too_hard(sentences)
    assert not too_hard(notice(language).text.splitlines())
    assert not too_hard([duty_rules().second_look_why[language]])
    assert [text for text in [*sentences, *told] if len(text.split()) >= 8 and too_hard([text], slack=1)] == []


def _too_hard(language: str, texts: list[str], slack: int = 0) -> bool:
    if language == "en":
        return english_grade(texts) > 6 + slack
    return french_ease(texts) < 80 - 10 * slack


def test_the_measures_tell_hard_from_easy() -> None:
    hard = (
        "Notwithstanding applicable jurisdictional considerations, authorization presupposes informed acknowledgement."
    )
    assert english_grade(["You can take it back at any time."]) < 4
    assert english_grade([hard]) > 12
    dur = "Nonobstant les considérations juridictionnelles applicables, l’autorisation présuppose une reconnaissance."
    assert french_ease(["Vous pouvez reprendre à tout moment."]) > 80
    assert french_ease([dur]) < 40


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_lets_her_in_has_a_name_that_nothing_she_may_share_has(language: str) -> None:
    """ "Example Shelter may see Your words" would tell her that it can come in with them."""
    way_in = catalogue(language).gettext("Your words")
    assert way_in not in {schemas.label("categories", code.code, language) for code in schemas.codes("categories")}


def test_the_first_of_a_month_is_written_as_each_language_writes_it() -> None:
    first, last = datetime(2026, 6, 1, 12, tzinfo=UTC), datetime(2026, 12, 31, 12, tzinfo=UTC)
    french, english = templates("fr", TORONTO).filters, templates("en", TORONTO).filters
    assert (french["day"](first), french["day"](last)) == ("1er juin 2026", "31 décembre 2026")
    assert french["moment"](first).startswith("1er juin 2026, ")
    assert french["day"](datetime(2026, 6, 11, 12, tzinfo=UTC)) == "11 juin 2026"
    assert english["day"](first) == "June 1, 2026"


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalogue_still_says_whose_it_is_and_how_its_language_counts(language: str) -> None:
    """`make catalogue` writes the file anew."""
    head = (FOLDER / "translations" / f"{language}.po").read_text("utf-8").partition("\n\n")[0]
    assert head.startswith("# ")
    assert f"Language: {language}" in head
    assert "Plural-Forms" in head
