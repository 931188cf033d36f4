"""Similar names of agencies are found: by case, blanks, accents, punctuation and the look-alike letters of UTS 39."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.similar_names import are_alike

NAME = "Silver Maple House"
ALIKE = [
    "SILVER MAPLE HOUSE",
    "silver  maple house ",
    "SilverMapleHouse",
    "Sil\u0475er Maple House",
    "\u0405ilver Maple House",
    "Silver M\u0430ple House",
    "Silver \u041caple H\u043euse",
    "Si1ver Maple House",
    "SlLVER MAPLE HOUSE",
    "Silver Maple H0use",
    "Silver Maple H0USE",
    "Silver\ufe0f Maple House",
    "\uff33ilver Maple House",
    "Silver Map\U0001d4c1e House",
    "Silver-Maple House.",
    "Sílver Maplé House",
    "“Silver Maple” House",
]
DIFFERENT = [
    "Silver Maple Home",
    "Silver Maples House",
    "Silver Birch House",
    "Maple House",
    "House Maple Silver",
]


@pytest.mark.parametrize("other", [NAME, *ALIKE])
def test_name_that_resembles_another_is_alike(other: str) -> None:
    assert are_alike(NAME, other)
    assert are_alike(other, NAME)


@pytest.mark.parametrize("other", DIFFERENT)
def test_other_name_is_not_alike(other: str) -> None:
    assert not are_alike(NAME, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Barn", "Bam"),
        ("Maison Échantillon", "MAISON E\u0301CHANTILLON"),
        ("KIDS HELP", "\u039aIDS HELP"),
        ("Alice", "\u0391lice"),
        ("HOUSE", "\u041d\u039eUSE".replace("\u039e", "\u041e")),
    ],
)
def test_names_in_other_scripts_and_forms_are_alike(one: str, other: str) -> None:
    assert are_alike(one, other)


@given(st.text(max_size=20), st.text(max_size=20))
def test_likeness_is_the_same_both_ways(one: str, other: str) -> None:
    assert are_alike(one, one)
    assert are_alike(one, other) == are_alike(other, one)
