"""Under *only this*, no text is sealed or opened but those that she has read, byte for byte."""

from datetime import timedelta
from typing import Any
from unicodedata import normalize
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.errors import Problem
from services.common.part_texts import digest
from services.consent.handlers.grants import age_bands, drafts, grants, second_looks
from services.consent.handlers.grants.grants import Answer, Wish
from services.consent.handlers.operations.key_rotation import rotate
from services.consent.handlers.rights import erasure
from services.consent.models import approved_text, request_draft
from services.consent.store import keys as key_store
from tests.support.consent import Agency, House, Person
from tests.support.word_for_word import FAMILY, HEALTH, Parts, allow, ask, decide, post

READ: Parts = {"health": HEALTH, "family": FAMILY}
LATER = timedelta(days=15)
Trio = tuple[Agency, Agency, Person]


@pytest.fixture
def trio(house: House) -> Trio:
    sender = house.agency("ngo")
    return sender, house.agency("health"), house.person(sender)


def edited(text: str, place: int, letter: str) -> str:
    return text[:place] + letter + text[place + 1 :]


TEXT = HEALTH["needs"]
EDITS = st.one_of(
    st.builds(edited, st.just(TEXT), st.integers(0, len(TEXT) - 1), st.characters(codec="utf-8")),
    st.sampled_from([normalize("NFC", TEXT), normalize("NFD", TEXT), normalize("NFKC", TEXT), normalize("NFKD", TEXT)]),
    st.sampled_from([TEXT + " ", " " + TEXT, TEXT.upper(), TEXT[::-1], TEXT.replace(" ", "\u00a0"), TEXT + "\u200b"]),
    st.permutations(TEXT.split()).map(" ".join),
    st.text(min_size=1),
)
POSTINGS = st.fixed_dictionaries(
    {},
    optional={
        "health": st.one_of(
            st.just(HEALTH),
            EDITS.map(lambda text: {"needs": text}),
            EDITS.map(lambda text: {**HEALTH, "comfort": text}),
            EDITS.map(lambda text: {"comfort": text}),
        ),
        "family": st.permutations(list(FAMILY.items())).map(dict),
        "legal": st.just({"needs": "A lawyer."}),
        "summary": st.just({"text": "Words of a worker."}),
        "safety": st.just(HEALTH),
    },
)


def test_text_that_she_did_not_read_is_never_sealed(house: House, trio: Trio) -> None:
    """Over edits, Unicode forms, reordering and added parts: what she read is sealed, the rest withheld with the reason."""
    sender, to, person = trio
    allow(house, person, ask(house, sender, person, to, READ))

    @settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(posted=POSTINGS)
    def check(posted: dict[str, dict[str, Any]]) -> None:
        envelope, answer = post(house, sender, person, to, posted)
        as_read = {name: part for name, part in posted.items() if READ.get(name) == part}
        assert set(answer.not_as_approved) == posted.keys() - as_read.keys()
        assert (envelope is not None) == bool(as_read)
        if envelope is not None:
            assert house.open(to, envelope).json()["parts"] == as_read

    check()


def test_looking_alike_is_not_being_equal() -> None:
    composed, apart = {"needs": normalize("NFC", TEXT)}, {"needs": normalize("NFD", TEXT)}
    assert composed != apart
    assert digest("health", composed) != digest("health", apart)
    assert digest("health", composed) != digest("family", composed)
    assert digest("family", FAMILY) == digest("family", dict(reversed(FAMILY.items())))


def test_unread_text_sealed_by_mistake_does_not_open(house: House, trio: Trio) -> None:
    """Whatever seals to the grant's public key: the opening compares once more, and refuses the whole envelope."""
    sender, to, person = trio
    grant = allow(house, person, ask(house, sender, person, to, READ))
    for parts in ({"health": {"needs": "Other words."}}, {**READ, "health": {"needs": TEXT + " "}}):
        assert house.open(to, house.envelope(grant, parts)).status_code == 404
    assert house.open(to, house.envelope(grant, READ)).json()["parts"] == READ


def test_kind_of_thing_is_hers_to_choose(house: House, trio: Trio) -> None:
    sender, to, person = trio
    allow(house, person, ask(house, sender, person, to, {"health": HEALTH}), only_this=False)
    answer = decide(house, sender, person, to, {"health": {"needs": "Other words."}, "legal": {"needs": "x"}})
    assert answer.seal is not None
    assert (answer.seal.categories, answer.not_as_approved) == (("health",), ())


def test_category_without_draft_is_not_granted_by_only_this(house: House, trio: Trio) -> None:
    sender, to, person = trio
    grant = allow(house, person, ask(house, sender, person, to, {"health": HEALTH}, "legal"))
    [row] = [row for row in house.copy(person)["grants"] if row["id"] == str(grant)]
    assert (row["categories"], row["only_this"]) == (["health"], True)
    answer = decide(house, sender, person, to, {"legal": {"needs": "A lawyer."}})
    assert (answer.seal, answer.not_as_approved) == (None, ("legal",))


def test_her_own_note_stands_in_place_of_the_draft(house: House, trio: Trio) -> None:
    """The worker's draft, which she replaced, is not even sealed."""
    sender, to, person = trio
    theirs, hers = {"text": "Words of a worker."}, "My own words."
    request = ask(house, sender, person, to, {"summary": theirs, "health": HEALTH})
    allow(house, person, request, chosen=(["summary", "health"], hers))
    for summary in (theirs, {"text": hers}, {"text": "Something else."}):
        envelope, answer = post(house, sender, person, to, {"summary": summary, "health": HEALTH})
        assert answer.seal is not None
        assert (answer.seal.hers, sorted(answer.seal.texts)) == (("summary",), ["health", "summary"])
        assert envelope is not None
        assert house.open(to, envelope).json()["parts"] == {"summary": {"text": hers}, "health": HEALTH}


def test_note_taken_back_leaves_nothing_in_its_place(house: House, trio: Trio) -> None:
    sender, to, person = trio
    wish = Wish(to.id, "referral", ["summary", "health"], note="My own words.")
    grant = grants.give_grant(house.context, person.subject, wish)
    envelope, _ = post(house, sender, person, to, {"summary": {"text": "Theirs."}, "health": HEALTH})
    assert grants.give_grant(house.context, person.subject, Wish(to.id, "referral", ["summary", "health"])) == grant
    assert envelope is not None
    assert house.open(to, envelope).json()["parts"] == {"health": HEALTH}


def test_reason_does_not_tell_what_she_has_forbidden(house: House, trio: Trio) -> None:
    """A forbidden category and one that she never allowed get the same answer; shut out, the recipient seems unknown."""
    sender, to, person = trio
    allow(house, person, ask(house, sender, person, to, {"health": HEALTH}))
    never = grants.restrict(house.context, person.subject, grants.Rule(category="legal"))
    told = [decide(house, sender, person, to, {one: {"needs": "x"}}) for one in ("legal", "housing")]
    assert [answer.not_as_approved for answer in told] == [("legal",), ("housing",)]
    grants.lift_restriction(house.context, person.subject, never)
    grants.restrict(house.context, person.subject, grants.Rule(agency=to.id))
    assert decide(house, sender, person, to, {"health": HEALTH}).not_as_approved == ()


def test_drafts_that_cannot_be_read_are_refused(house: House, trio: Trio) -> None:
    sender, to, person = trio
    ask_ = {"ppid": person.ppid, "agency": to.id, "purpose": "referral", "categories": ["health", "summary"]}
    wrong: list[dict[str, Any]] = [
        {"health": "not as it would be posted"},
        {"health": {"needs": "\u202eesrever"}},
        {"health": {"needs": "a\u0000b"}},
        {"health": {"needs": "unseen \U000e0041"}},
        {"health": {"more": "x"}},
        {"health": {}},
        {"legal": {"needs": "not asked for"}},
        {"summary": "x" * 4001},
    ]
    for given_drafts in wrong:
        answer = house.call(sender, "/consent/v1/consent-requests", {**ask_, "drafts": given_drafts})
        assert answer.status_code == 400, given_drafts
        assert "x" * 50 not in answer.text
    answer = house.call(sender, "/consent/v1/consent-requests", {**ask_, "drafts": {"summary": "Plain.\nText."}})
    [request] = house.my("GET", "/requests", house.session(person)).json()["requests"]
    assert request["id"] == answer.json()["request"]
    assert request["parts"] == {"summary": {"text": "Plain.\nText."}}


UNSEEN = [
    *"\u200b\u00ad\u2060\ufeff\u200e\u061c\u180e\u034f\u115f\u3164\u2800\ufe01\ufff1",
    *"\U000e0001\U000e0101\U000e01ef\U0001d173\u200c\u200d\ufe0f",
    "\u06cc\u200c\u200c",
]


@pytest.mark.parametrize("letter", UNSEEN)
def test_draft_with_a_second_text_in_unseen_letters_is_refused(letter: str) -> None:
    """She reads "Help." and the other agency reads what is written between its letters."""
    with pytest.raises(Problem, match="400"):
        drafts.checked({"health": {"needs": f"Help{letter}."}}, ["health"])


@pytest.mark.parametrize(
    "text",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0915\u094d\u200d\u0937",
        "Merci \u2764\ufe0f\u200d\U0001f525",
        "Cafe\u0301",
    ],
)
def test_draft_in_any_script_is_taken(text: str) -> None:
    assert drafts.checked({"health": {"needs": text}}, ["health"]) == {"health": {"needs": text}}


def test_request_with_other_drafts_is_another_request(house: House, trio: Trio) -> None:
    sender, to, person = trio
    first = ask(house, sender, person, to, {"health": HEALTH})
    assert ask(house, sender, person, to, {"health": HEALTH}) == first
    second = ask(house, sender, person, to, {"health": {"needs": "Other words."}})
    assert len({first, second, ask(house, sender, person, to, {}, "health")}) == 3


def test_two_yes_in_a_row_keep_their_own_texts(house: House, trio: Trio) -> None:
    sender, to, person = trio
    other = {"health": {"needs": "Other words."}}
    made = {allow(house, person, ask(house, sender, person, to, parts)) for parts in ({"health": HEALTH}, other)}
    assert len(made) == 2
    for parts in ({"health": HEALTH}, other):
        answer = decide(house, sender, person, to, parts)
        assert answer.seal is not None
        assert answer.not_as_approved == ()
    assert decide(house, sender, person, to, {"health": {"needs": "Third."}}).seal is None


@pytest.mark.parametrize("accept", [True, False])
def test_drafts_go_with_her_answer(house: House, trio: Trio, accept: bool) -> None:
    sender, to, person = trio
    request = ask(house, sender, person, to, READ)
    assert len(house.rows(request_draft, request_draft.c.subject_id == person.subject)) == 1
    grants.answer_request(house.context, person.subject, request, Answer(accept))
    assert house.rows(request_draft, request_draft.c.subject_id == person.subject) == []


def test_drafts_of_a_lapsed_request_go(house: House, trio: Trio) -> None:
    sender, to, person = trio
    ask(house, sender, person, to, READ)
    drafts.forget_done(house.context)
    assert house.rows(request_draft, request_draft.c.subject_id == person.subject) != []
    house.clock.move(LATER)
    drafts.forget_done(house.context)
    assert house.rows(request_draft, request_draft.c.subject_id == person.subject) == []


def test_drafts_can_be_read_after_rotation_and_not_after_erasure(own_house: House) -> None:
    sender = own_house.agency("ngo")
    to, person = own_house.agency("health"), own_house.person(sender)
    request = ask(own_house, sender, person, to, READ)
    rotate(own_house.context)
    assert drafts.show(own_house.context, [request]) == {request: READ}
    allow(own_house, person, request)
    ask(own_house, sender, person, to, {"health": HEALTH})
    erasure.erase(own_house.context, person.subject)
    assert own_house.rows(request_draft) == own_house.rows(approved_text) == []


def test_digest_is_no_oracle_without_the_grants_key(house: House, trio: Trio) -> None:
    """The stored digest of a known text differs for each grant, and once the key is destroyed nothing fits any more."""
    sender, to, person = trio
    first, other = (allow(house, person, ask(house, sender, person, one, {"health": HEALTH})) for one in (to, sender))
    rows = house.rows(approved_text, approved_text.c.subject_id == person.subject)
    assert len({bytes(row.digest) for row in rows}) == len(rows) == 2
    grants.revoke_grant(house.context, person.subject, first)
    assert [row.grant_id for row in house.rows(approved_text, approved_text.c.subject_id == person.subject)] == [other]
    with house.context.database.reading() as connection:
        assert set(key_store.grant_secrets(connection, house.context.keys, [first, other])) == {other}
    assert decide(house, sender, person, to, {"health": HEALTH}).seal is None


def test_young_persons_yes_is_bound_after_the_second_look(house: House, trio: Trio) -> None:
    looks = house.agency("child_protection")
    to, person = house.agency("police"), house.person(looks)
    age_bands.restate(house.context, looks.id, person.ppid, "age_16_17")
    request = ask(house, looks, person, to, {"health": HEALTH})
    waits: UUID = allow(house, person, request, second_look_by=looks.id)
    drafts.forget_done(house.context)
    second_looks.give_second_look(house.context, looks.id, waits, agree=True)
    assert house.rows(request_draft, request_draft.c.subject_id == person.subject) == []
    assert decide(house, looks, person, to, {"health": {"needs": "Other."}}).not_as_approved == ("health",)
    answer = decide(house, looks, person, to, {"health": HEALTH})
    assert answer.seal is not None
    assert answer.seal.grant == str(waits)


def test_yes_to_drafts_that_are_lost_allows_nothing(own_house: House) -> None:
    sender = own_house.agency("ngo")
    to, person = own_house.agency("health"), own_house.person(sender)
    request = ask(own_house, sender, person, to, {"health": HEALTH})
    with own_house.context.database.transaction() as connection:
        connection.execute(request_draft.update().values(wrapped=b"\0" * 40))
    with pytest.raises(Problem, match="400"):
        allow(own_house, person, request)
