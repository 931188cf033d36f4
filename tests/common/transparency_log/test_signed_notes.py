"""Signed notes follow the C2SP specifications, and malformed or wrongly signed ones are refused."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from services.common.transparency_log.signed_notes import (
    COSIGNATURE,
    PLAIN,
    Checkpoint,
    NotANote,
    Note,
    Proof,
    Verifier,
    checkpoint,
    cosignature,
    note,
    proof,
    signed,
    verifier,
)
from tests.support import transparency_log_client as tlog

# The example of https://c2sp.org/signed-note.
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
ORIGIN = "log.example/ledger"
OURS = Verifier(ORIGIN, PLAIN, PUBLIC)
HEAD = Checkpoint(ORIGIN, 20852163, bytes(range(32)))


def test_the_example_of_the_specification_verifies() -> None:
    read, known = note(EXAMPLE), verifier(EXAMPLE_KEY)

    assert read.body == "This is an example message.\n"
    assert read.signature_by(known) is not None
    assert str(read) == EXAMPLE
    assert str(known) == EXAMPLE_KEY


def test_independent_client_verifies_notes_and_cosignatures() -> None:
    """The client is written from the specifications alone."""
    made = signed(str(HEAD), ORIGIN, KEY)
    witness = Ed25519PrivateKey.generate()
    both = Note(made.body, (*made.signatures, cosignature(made.body, "w1.example", witness, 1679315147)))

    assert tlog.open_checkpoint(str(both), str(OURS)) == tlog.Head(ORIGIN, HEAD.size, HEAD.root)
    assert tlog.cosigned_by(str(both), "w1.example", witness.public_key().public_bytes_raw()) == 1679315147
    known = Verifier("w1.example", COSIGNATURE, witness.public_key().public_bytes_raw())
    assert note(str(both)).signature_by(known) is not None
    assert checkpoint(note(str(both)).body) == HEAD


@given(place=st.integers(0, 400), bit=st.integers(0, 6))
def test_changed_note_does_not_verify(place: int, bit: int) -> None:
    text = str(signed(str(HEAD), ORIGIN, KEY))
    at = place % len(text)
    changed = text[:at] + chr(ord(text[at]) ^ (1 << bit)) + text[at + 1 :]
    try:
        believed = note(changed).signature_by(OURS)
    except NotANote:
        return
    assert believed is None


def test_signature_by_another_key_of_the_name_does_not_count() -> None:
    other = Ed25519PrivateKey.generate()
    assert signed(str(HEAD), ORIGIN, other).signature_by(OURS) is None


def test_cosignature_holds_only_at_its_time_and_as_its_kind() -> None:
    name, signature = cosignature(str(HEAD), ORIGIN, KEY, 5)
    known = Verifier(ORIGIN, COSIGNATURE, PUBLIC)
    moved = signature[:4] + (6).to_bytes(8, "big") + signature[12:]

    with pytest.raises(NotANote):
        Note(str(HEAD), ((name, moved),)).signature_by(known)
    with pytest.raises(NotANote):
        Note(str(HEAD), ((name, OURS.id + signature[12:]),)).signature_by(OURS)


GOOD = str(signed(str(HEAD), ORIGIN, KEY))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        GOOD.replace("\n\n", "\n"),
        GOOD.replace("—", "-"),
        GOOD[:-1],
        GOOD + "\n",
        GOOD.replace("=\n", "\n"),
        GOOD.replace("log.example/ledger\n2", "log.example/ledger\r\n2"),
        GOOD + "".join(GOOD.splitlines(keepends=True)[-1:] * 64),
        "body\n\n— name QUJD\n",
    ],
)
def test_malformed_note_is_refused(text: str) -> None:
    with pytest.raises(NotANote):
        note(text)


@pytest.mark.parametrize(
    "body",
    [
        "x\n1\n",
        "\n1\nAA==\n",
        f"x\n01\n{str(HEAD).splitlines()[2]}\n",
        f"x\n-1\n{str(HEAD).splitlines()[2]}\n",
        "x\n1\nAA==\n",
        f"x\n1\n{str(HEAD).splitlines()[2]}",
        f"x\n1\n{str(HEAD).splitlines()[2]}\n\n",
    ],
)
def test_malformed_checkpoint_is_refused(body: str) -> None:
    with pytest.raises(NotANote):
        checkpoint(body)


def test_checkpoint_may_have_extensions() -> None:
    assert checkpoint(f"{HEAD}more\n") == HEAD


@pytest.mark.parametrize(
    "text", ["", "x", "x+y", f"x{EXAMPLE_KEY}", EXAMPLE_KEY[:-4], EXAMPLE_KEY.replace("+530d", "+530e"), "a b+00+AAAA"]
)
def test_malformed_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(NotANote):
        verifier(text)


def test_a_proof_reads_as_it_was_written() -> None:
    made = Proof(73894, (bytes(32), bytes(range(32))), GOOD)

    assert str(made).startswith("c2sp.org/tlog-proof@v1\nindex 73894\n")
    assert proof(str(made)) == made
    assert proof(str(Proof(0, (), GOOD))) == Proof(0, (), GOOD)
    with_extra = str(made).replace("@v1\n", "@v1\nextra QUJD\n")
    assert proof(with_extra) == replace(made, extra=b"ABC")
    assert str(proof(with_extra)) == with_extra


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tlog-proof@v1", "tlog-proof@v2"),
        ("index 7", "index 07"),
        ("index 7", "place 7"),
        ("index 7", "index -7"),
        ("AAAA=\n", "AAAA\n"),
        ("AAAA=\n", "AAAB=\n"),  # the same bytes in another spelling
        ("AAAAAAAA=\n", "AAAA=\n"),  # a hash that is too short
        ("\n\nlog", "\nlog"),
    ],
)
def test_malformed_proof_is_refused(old: str, new: str) -> None:
    text = str(Proof(7, (bytes(32),), GOOD))
    assert old in text
    with pytest.raises(NotANote):
        proof(text.replace(old, new))
