"""Test codes, passphrases and PINs: recognised however they are typed, and stored only as peppered digests."""

import unicodedata
from secrets import choice

import pytest
from mnemonic import Mnemonic

from services.common.encoding import random_name
from services.consent.credentials import (
    CODE_CHARACTERS,
    WORD_LISTS,
    Secrets,
    is_pin,
    new_code,
    new_pin,
    new_session_token,
)

PEPPER = Secrets(b"p" * 32)
OTHER = Secrets(b"q" * 32)
CODE = "abcd-efgh-2345"


@pytest.mark.parametrize(
    "typed",
    [
        "ABCD-EFGH-2345",
        "abcdefgh2345",
        " abcd efgh 2345 ",
        "Abcd.Efgh–2345",
        "ábcd-éfgh-2345",
        "\uff41bcd-efgh-\uff12345",
    ],
)
def test_code_is_recognised_in_any_case_spacing_and_accent(typed: str) -> None:
    assert PEPPER.code_digest("claim", typed) == PEPPER.code_digest("claim", CODE)


@pytest.mark.parametrize("wrong", ["abcd-efgh-2346", "abcd-efgh-234", "abcd-efgh-23455", ""])
def test_different_code_has_different_digest(wrong: str) -> None:
    assert PEPPER.code_digest("claim", wrong) != PEPPER.code_digest("claim", CODE)


def test_code_digest_differs_for_each_kind() -> None:
    digests = {PEPPER.code_digest(kind, CODE) for kind in ("claim", "revoke", "link")}
    assert len(digests | {PEPPER.session_digest(CODE)}) == 4


def test_digests_differ_under_another_pepper() -> None:
    assert PEPPER.code_digest("claim", CODE) != OTHER.code_digest("claim", CODE)
    assert PEPPER.session_digest("token") != OTHER.session_digest("token")
    assert PEPPER.passphrase_digest("one two") != OTHER.passphrase_digest("one two")
    assert not OTHER.pin_fits("123456", PEPPER.pin_hash("123456"))


def test_passphrase_is_recognised_in_any_case_spacing_and_accent() -> None:
    passphrase = "éclair été forêt"
    kept = PEPPER.passphrase_digest(passphrase)

    assert PEPPER.passphrase_digest("  ECLAIR  ete\tforet\n") == kept
    assert PEPPER.passphrase_digest(unicodedata.normalize("NFD", passphrase)) == kept
    assert PEPPER.passphrase_digest("éclair forêt été") != kept


def test_pin_hash_is_salted_and_fits_only_its_pin() -> None:
    kept = PEPPER.pin_hash("012345")

    assert PEPPER.pin_fits("012345", kept)
    assert not PEPPER.pin_fits("012346", kept)
    assert PEPPER.pin_hash("012345") != kept
    assert kept.startswith("$argon2id$")
    assert "012345" not in kept


@pytest.mark.parametrize("language", WORD_LISTS)
def test_passphrase_word_lists_have_2048_distinct_entries(language: str) -> None:
    """The entries stay distinct without their accents; passphrases draw eight of them, evenly."""
    words = Mnemonic(WORD_LISTS[language]).wordlist
    plain = {unicodedata.normalize("NFKD", word).encode("ascii", "ignore").lower() for word in words}
    assert len(plain) == 2048

    drawn = [PEPPER.new_passphrase(language).split() for _ in range(300)]
    assert {len(one) for one in drawn} == {8}
    assert {word for one in drawn for word in one} <= set(words)
    # 2,400 draws with replacement from 2,048 words give about 1,414 different ones; half the list would give 1,013.
    assert len({word for one in drawn for word in one}) > 1300
    assert all(PEPPER.could_be_passphrase(" ".join(one)) for one in drawn)


@pytest.mark.parametrize("language", WORD_LISTS)
def test_almost_no_guess_could_be_a_passphrase(language: str) -> None:
    words = Mnemonic(WORD_LISTS[language]).wordlist
    guesses = [" ".join(choice(words) for _ in range(8)) for _ in range(4000)]

    # The last word is a checksum, which one word of each list fits: at most about 4 of 4,000 are expected to pass.
    assert sum(map(PEPPER.could_be_passphrase, guesses)) < 20
    near = PEPPER.new_passphrase(language).split()
    slips = [" ".join([*near[:place], "zoo", *near[place + 1 :]]) for place in range(8)]
    assert sum(map(PEPPER.could_be_passphrase, slips)) <= 1
    assert not OTHER.could_be_passphrase(" ".join(near)) or not OTHER.could_be_passphrase(
        PEPPER.new_passphrase(language)
    )


@pytest.mark.parametrize("typed", ["", " ", "\x00", "one", "🜁 🜂", "a " * 90])
def test_could_be_passphrase_is_false_for_any_odd_text(typed: str) -> None:
    assert not PEPPER.could_be_passphrase(typed)


@pytest.mark.parametrize("language", WORD_LISTS)
def test_could_be_passphrase_ignores_case_and_accents(language: str) -> None:
    for _ in range(50):
        passphrase = PEPPER.new_passphrase(language)
        bare = unicodedata.normalize("NFKD", passphrase).encode("ascii", "ignore").decode()
        assert PEPPER.could_be_passphrase(f"  {bare.upper()} ")


def test_language_without_word_list_gets_english_passphrase() -> None:
    assert set(PEPPER.new_passphrase("xx").split()) <= set(Mnemonic("english").wordlist)


def test_codes_use_32_characters_evenly_and_never_repeat() -> None:
    codes = [new_code() for _ in range(2000)]
    characters = "".join(codes).replace("-", "")

    assert len(set(codes)) == 2000
    assert all([len(group) for group in code.split("-")] == [4, 4, 4] for code in codes)
    assert len(characters) == 2000 * CODE_CHARACTERS
    counts = [characters.count(character) for character in "abcdefghijklmnopqrstuvwxyz234567"]
    assert sum(counts) == len(characters)
    # 750 of each are expected, with a standard deviation of 27.
    assert all(550 < count < 950 for count in counts)


def test_names_and_session_tokens_never_repeat() -> None:
    assert len({random_name(26) for _ in range(2000)}) == 2000
    tokens = {new_session_token() for _ in range(2000)}
    assert len(tokens) == 2000
    assert min(map(len, tokens)) >= 43


def test_pins_are_six_digits_with_leading_zeros() -> None:
    pins = [new_pin() for _ in range(3000)]

    assert all(is_pin(pin) for pin in pins)
    assert any(pin.startswith("0") for pin in pins)
    assert len(set(pins)) > 2900


@pytest.mark.parametrize("text", ["12345", "1234567", "12345a", "12 456", "١٢٣٤٥٦", "123456\n", "", "-12345"])
def test_text_other_than_six_digits_is_not_a_pin(text: str) -> None:
    assert not is_pin(text)


def test_slow_hashes_cost_what_rfc_9106_recommends() -> None:
    """Section 4, second recommended option; a PIN's hash names its cost."""
    assert Secrets(b"p" * 32).pin_hash("123456").startswith("$argon2id$v=19$m=65536,t=3,p=1$")
