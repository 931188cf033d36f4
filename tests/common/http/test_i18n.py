"""The language of a page is chosen from `Accept-Language` as RFC 9110 says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.http.i18n import LANGUAGES, preferred

CHOSEN = {
    "": "en",
    "fr": "fr",
    "FR": "fr",
    "fr-CA": "fr",
    "fr-Latn-CA": "fr",
    "frr": "en",
    "fr_CA": "en",
    "zh-fr": "en",
    "en;q=0.5, fr;q=0.9": "fr",
    "en;q=0.5,fr-CA ; q=0.501": "fr",
    "fr;Q=1.000, en": "fr",
    "en, fr": "en",
    "fr, en": "fr",
    "fr;q=0, *": "en",
    "en;q=0, *": "fr",
    "en;q=0": "fr",
    "en;q=0, fr;q=0": "en",
    "fr;q=0, en;q=0": "en",
    "*;q=0": "en",
    "*": "en",
    "*;q=0.5, fr": "fr",
    "fr;q=0.5, *": "en",
    "fr;q=2, en;q=0.1": "en",
    "fr;q=0.1234, en;q=0.1": "en",
    "fr;q=, en;q=0.1": "en",
    "fr;level=1, en;q=0.1": "en",
    "fr en;q=0.1, en;q=0.2": "en",
    ";;, ,fr": "fr",
    "fr-abcdefghi, en;q=0.1": "en",
}


@pytest.mark.parametrize(("accepted", "language"), CHOSEN.items())
def test_language_is_chosen_by_rfc_9110(accepted: str, language: str) -> None:
    assert preferred(accepted) == language


def test_header_on_several_rows_counts_as_one() -> None:
    assert preferred("en;q=0.5", "fr") == "fr"


@given(st.text() | st.text("enfr*;q=-,. 01"))
def test_any_header_gives_one_of_our_languages(accepted: str) -> None:
    assert preferred(accepted) in LANGUAGES
