"""`may_speak` keeps its promises for whatever it is given, and agrees with an oracle that thinks in another way."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consent.domain import Recipient, Restriction, Snapshot
from services.consent.speaking import ANYBODY_LINKED, READS, TAKES_AWAY, Act, Speech, may_speak
from tests.support.decision_strategies import CATEGORIES, POLICY, PURPOSES, STRANGE, restrictions, snapshots

ME = "shelter"
CALM = Snapshot("active", 7, Recipient(ME, "housing", "active"))
RULE = UUID(int=1)
SHUT_OUT = {
    "by name": Restriction(RULE, agency=ME),
    "by sector": Restriction(RULE, sector="housing"),
    "by name and sector": Restriction(RULE, agency=ME, sector="housing"),
    "unreadable": Restriction(RULE, readable=False),
    "in an unknown code": Restriction(RULE, agency="clinic", category="other"),
}
each_act = pytest.mark.parametrize("act", list(Act))


def speeches() -> st.SearchStrategy[Speech]:
    """Every act, with and without a purpose and categories."""
    return st.builds(
        Speech,
        act=st.sampled_from(list(Act)),
        purpose=st.sampled_from((None, *PURPOSES)),
        categories=st.frozensets(st.sampled_from(CATEGORIES)),
    )


def said(snapshot: Snapshot, speech: Speech, *, linked: bool = True) -> frozenset[str] | None:
    return may_speak(snapshot, ME, speech, POLICY, linked=linked)


def oracle(snapshot: Snapshot, speech: Speech) -> frozenset[str] | None:
    """Say for each category by itself whether any rule names this speaker; `""` stands for the act as a whole."""
    speaker = snapshot.recipient
    if speaker is None or speaker.id != ME or speaker.sector not in POLICY.sectors:
        return None
    late_is_fine = speech.act not in READS
    if not (speaker.standing == "active" or (speaker.standing == "behind" and late_is_fine)):
        return None
    if not (snapshot.state == "active" or (snapshot.state == "paused" and speech.act.value.startswith("stop_"))):
        return None
    if speech.act is Act.STOP_OWN_ACCESS:
        return speech.categories

    def names(rule: Restriction, category: str) -> bool:
        known = {ME: rule.agency, speaker.sector: rule.sector, category: rule.category}
        codes_known = (
            rule.readable is True
            and rule.category in {None, *POLICY.categories}
            and rule.sector in {None, *POLICY.sectors}
            and rule.purpose in {None, *POLICY.purposes}
        )
        fits = all(asked in {None, mine} for mine, asked in known.items())
        return not codes_known or (fits and rule.purpose in {None, speech.purpose})

    if any(names(rule, "") for rule in snapshot.restrictions):
        return None
    left = frozenset(one for one in speech.categories if not any(names(rule, one) for rule in snapshot.restrictions))
    return None if speech.categories and not left else left


@given(snapshots(), speeches())
def test_oracle_agrees_exactly(snapshot: Snapshot, speech: Speech) -> None:
    assert said(snapshot, speech) == oracle(snapshot, speech)


@given(snapshots(), speeches(), st.randoms())
def test_order_of_restrictions_changes_nothing(snapshot: Snapshot, speech: Speech, dice: Any) -> None:
    mixed = list(snapshot.restrictions)
    dice.shuffle(mixed)
    assert said(replace(snapshot, restrictions=mixed), speech) == said(snapshot, speech)


@given(snapshots(), speeches(), restrictions())
def test_one_more_restriction_never_widens(snapshot: Snapshot, speech: Speech, rule: Restriction) -> None:
    before = said(snapshot, speech)
    after = said(replace(snapshot, restrictions=[*snapshot.restrictions, rule]), speech)
    assert after is None or (before is not None and after <= before)


@given(snapshots(), speeches())
def test_answer_never_holds_a_category_that_was_not_asked(snapshot: Snapshot, speech: Speech) -> None:
    assert (said(snapshot, speech) or frozenset()) <= speech.categories


@given(snapshots(), speeches())
def test_agency_that_is_not_linked_says_nothing(snapshot: Snapshot, speech: Speech) -> None:
    assert said(snapshot, speech, linked=False) is None


@each_act
def test_linked_agency_may_do_everything_by_default(act: Act) -> None:
    assert said(CALM, Speech(act)) == frozenset()
    assert said(CALM, Speech(act, "referral", frozenset(CATEGORIES))) == frozenset(CATEGORIES)


@each_act
@pytest.mark.parametrize("rule", SHUT_OUT.values(), ids=SHUT_OUT)
def test_shut_out_agency_may_only_stop_its_own_access(act: Act, rule: Restriction) -> None:
    snapshot = replace(CALM, restrictions=[rule])
    for speech in (Speech(act), Speech(act, "referral", frozenset(CATEGORIES))):
        assert (said(snapshot, speech) is not None) is (act in ANYBODY_LINKED)


@each_act
@pytest.mark.parametrize(
    "rule",
    [
        Restriction(RULE, agency="clinic"),
        Restriction(RULE, sector="police"),
        Restriction(RULE, purpose="court_support"),
    ],
)
def test_restriction_on_others_stops_nothing(act: Act, rule: Restriction) -> None:
    assert said(replace(CALM, restrictions=[rule]), Speech(act, "referral")) == frozenset()


def test_forbidden_category_is_taken_from_what_is_said() -> None:
    rule = Restriction(RULE, sector="housing", category="health")
    snapshot = replace(CALM, restrictions=[rule])
    speech = Speech(Act.POST_REFERRAL, "referral", frozenset({"summary", "health"}))
    assert said(snapshot, speech) == frozenset({"summary"})
    assert said(snapshot, replace(speech, categories=frozenset({"health"}))) is None
    assert said(snapshot, replace(speech, categories=frozenset())) == frozenset()


def test_forbidden_purpose_is_not_spoken_about() -> None:
    snapshot = replace(CALM, restrictions=[Restriction(RULE, agency=ME, purpose="court_support")])
    assert said(snapshot, Speech(Act.POST_REFERRAL, "court_support", frozenset({"summary"}))) is None
    assert said(snapshot, Speech(Act.POST_REFERRAL, "referral", frozenset({"summary"}))) == frozenset({"summary"})


@each_act
def test_pause_leaves_only_what_takes_away(act: Act) -> None:
    assert (said(replace(CALM, state="paused"), Speech(act)) is not None) is (act in TAKES_AWAY)


@each_act
@pytest.mark.parametrize("state", ["erased", "", "other"])
def test_any_other_state_permits_nothing(act: Act, state: str) -> None:
    assert said(replace(CALM, state=state), Speech(act)) is None


@each_act
@pytest.mark.parametrize("standing", ["behind", "suspended", "other"])
def test_late_agency_speaks_but_reads_nothing(act: Act, standing: str) -> None:
    snapshot = replace(CALM, recipient=Recipient(ME, "housing", standing))
    assert (said(snapshot, Speech(act)) is not None) is (standing == "behind" and act not in READS)


@pytest.mark.parametrize(
    "recipient", [None, Recipient("clinic", "housing", "active"), Recipient(ME, "other", "active")]
)
def test_unknown_speaker_says_nothing(recipient: Recipient | None) -> None:
    assert said(replace(CALM, recipient=recipient), Speech(Act.POST_NEED)) is None


@pytest.mark.parametrize("broken", [None, 7, "restrictions", [None], object()])
def test_unreadable_restrictions_permit_nothing(broken: Any) -> None:
    assert said(replace(CALM, restrictions=broken), Speech(Act.POST_NEED)) is None


@pytest.mark.parametrize("code", STRANGE)
def test_restriction_in_unknown_codes_shuts_everybody_out(code: str) -> None:
    for rule in (Restriction(RULE, sector=code), Restriction(RULE, category=code), Restriction(RULE, purpose=code)):
        assert said(replace(CALM, restrictions=[rule]), Speech(Act.POST_NEED)) is None
