"""Every code has labels in two languages, and the lists agree with the studies they come from."""

import re
from collections import Counter

import pytest

import schemas
from tests.schemas.contract import FOLDER

LISTS = sorted(path.stem for path in (FOLDER / "codes").iterdir())
EVERY_CODE = [(name, code) for name in LISTS for code in schemas.codes(name)]
FAMILIES = {
    "F1": "N01",
    "F2": "N02 N03 N14",
    "F3": "N04 N05",
    "F4": "N06",
    "F5": "N07 N08 N11",
    "F6": "N09",
    "F7": "N10",
    "F8": "N12 N39",
    "F9": "N13 N15 N16 N17 N18 N19",
    "F10": "N20 N21",
    "F11": "N22 N23",
    "F12": "N24",
    "F13": "N25",
    "F14": "N26",
    "F15": "N27 N28",
    "F16": "N29 N30 N38",
    "F17": "N31 N32 N33 N34 N35",
    "F18": "N36 N37",
}
NARROW_SPACES = re.compile(r"\d (?:\d|heure|jour|an|personne)|[^\u00a0]:|«[^\u00a0]|[^\u00a0]»")

each_code = pytest.mark.parametrize(("name", "code"), EVERY_CODE, ids=lambda value: getattr(value, "code", value))


def extra(name: str, member: str) -> dict[str, object]:
    return {code.code: code.extra.get(member) for code in schemas.codes(name)}


@each_code
def test_code_has_a_label_in_each_language(name: str, code: schemas.Code) -> None:
    for language, text in (("en", code.en), ("fr", code.fr)):
        assert text.strip() == text != ""
        assert text != code.code
        assert schemas.label(name, code.code, language) == text


@each_code
def test_code_and_labels_are_short(name: str, code: schemas.Code) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", code.code)
    assert len(code.en) <= 64
    assert len(code.fr) <= 80


@each_code
def test_labels_have_correct_typography_in_both_languages(name: str, code: schemas.Code) -> None:
    french = [code.fr, *(str(value) for key, value in code.extra.items() if key.endswith("-fr"))]
    english = [code.en, *(str(code.extra.get(key, "")) for key in ("description", "x-example-en"))]
    assert not [text for text in french + english if "'" in text or '"' in text]
    assert not [text for text in french if NARROW_SPACES.search(text)]


@pytest.mark.parametrize("name", LISTS)
def test_codes_and_labels_of_a_list_are_unique(name: str) -> None:
    codes = schemas.codes(name)
    for column in ([code.code for code in codes], [code.en for code in codes], [code.fr for code in codes]):
        assert max(Counter(column).values()) == 1


@pytest.mark.parametrize("name", LISTS)
def test_codes_of_a_list_have_the_same_members(name: str) -> None:
    told = [set(code.extra) for code in schemas.codes(name)]
    # The last waiting band has no upper end: the one exception.
    assert all(members == told[0] or (name == "waits" and not members) for members in told)


def test_there_are_39_needs_in_the_18_families_of_the_study() -> None:
    assert [code.code for code in schemas.codes("needs")] == [f"N{number:02}" for number in range(1, 40)]
    assert [code.code for code in schemas.codes("families")] == [f"F{number}" for number in range(1, 19)]
    expected = {need: family for family, needs in FAMILIES.items() for need in needs.split()}
    assert extra("needs", "x-family") == expected


def test_answer_time_is_72_hours_if_urgent_else_30_days() -> None:
    """Families F1 to F8 are urgent."""
    hours = extra("needs", "x-answer-hours")
    for need, family in extra("needs", "x-family").items():
        assert hours[need] == (72 if int(str(family)[1:]) <= 8 else 720)


def test_first_seven_families_are_the_basic_needs() -> None:
    assert [family for family, basic in extra("families", "x-basic").items() if basic] == [f"F{n}" for n in range(1, 8)]


def test_every_region_has_a_wider_region() -> None:
    assert len(schemas.codes("regions")) == 9
    assert set(extra("regions", "x-macro").values()) == schemas.code_set("macro_regions")
    assert extra("regions", "x-macro")["other"] == "canada"


def test_only_her_own_choices_are_survivor_side_declines() -> None:
    """Every other reason to decline is on the side of the service."""
    sides = extra("declines", "x-side")
    assert len(sides) == 20
    assert [code for code, side in sides.items() if side == "survivor"] == ["survivor_withdrew", "not_now"]
    assert set(sides.values()) == {"service", "survivor"}


def test_category_has_description_and_example_in_both_languages() -> None:
    assert len(schemas.codes("categories")) == 10
    for code in schemas.codes("categories"):
        assert set(code.extra) == {"description", "x-description-fr", "x-example-en", "x-example-fr"}
        assert all(str(text).endswith(".") for text in code.extra.values())


@pytest.mark.parametrize(
    ("name", "member"),
    [("urgencies", "x-hours"), ("waits", "x-up-to-hours"), ("audience_bands", "x-at-least")],
)
def test_steps_of_a_scale_increase(name: str, member: str) -> None:
    steps = [int(str(value)) for value in extra(name, member).values() if value is not None]
    assert steps == sorted(set(steps))


def test_answer_times_are_ends_of_waiting_bands() -> None:
    # Otherwise one band would hold waits on both sides of an answer time.
    assert set(extra("needs", "x-answer-hours").values()) <= set(extra("waits", "x-up-to-hours").values())


def test_unknown_list_code_or_language_raises_key_error() -> None:
    for ask in (("planets", "mars", "en"), ("needs", "N40", "en"), ("needs", "N01", "de")):
        with pytest.raises(KeyError):
            schemas.label(*ask)
    for name in ("../parts/health", "planets"):
        with pytest.raises(KeyError):
            schemas.codes(name)
    with pytest.raises(KeyError):
        schemas.event_schema("../codes/needs")
