"""`decide` keeps its promises for whatever it is given, and agrees with an oracle that thinks in another way."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import product
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.consent.domain import (
    Decision,
    Grant,
    Recipient,
    Request,
    Restriction,
    Snapshot,
    Verdict,
    best_grant,
    decide,
)
from services.consent.policy import policy
from tests.support.clocks import NOON

POLICY = policy()
AGENCIES = ("shelter", "clinic")
SECTORS = ("police", "housing", "health")
PURPOSES = ("referral", "court_support")
CATEGORIES = ("summary", "health", "immigration")
# What a newer or a broken hub may have written: codes that this one does not know.
STRANGE = ("", "*", "other", "SUMMARY")
PERMITTED = Snapshot(
    "active",
    7,
    Recipient("shelter", "housing", "active"),
    [Grant(UUID(int=1), "shelter", "referral", frozenset(CATEGORIES), NOON, NOON + timedelta(days=30))],
)
ASKED = Request("shelter", "referral", frozenset(CATEGORIES))


# Most of what is made up is near to a permit, where every single rule decides; the rest is anything.
def mostly(usual: Any, *unusual: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from((*([usual] * (15 * len(unusual))), *unusual))


def ids() -> st.SearchStrategy[UUID]:
    return st.integers(1, 9).map(lambda number: UUID(int=number))


def instants(usual: int, *unusual: int) -> st.SearchStrategy[Any]:
    return mostly(usual, *unusual).map(lambda number: NOON + timedelta(minutes=number))


def grants() -> st.SearchStrategy[Grant]:
    return st.builds(
        Grant,
        id=ids(),
        agency=mostly("shelter", "clinic"),
        purpose=mostly("referral", "court_support", *STRANGE),
        categories=st.frozensets(st.sampled_from((*CATEGORIES, *CATEGORIES, "other")), min_size=1),
        valid_from=instants(-1, 0, 1),
        valid_until=instants(2, 3, 1, 0, -2),
        ended=mostly(False, True),
    )


def restrictions() -> st.SearchStrategy[Restriction]:
    return st.builds(
        Restriction,
        id=ids(),
        agency=st.sampled_from((None, *AGENCIES)),
        sector=st.sampled_from((None, *SECTORS)),
        category=st.sampled_from((*CATEGORIES, *CATEGORIES, None, "other")),
        purpose=st.sampled_from((None, *PURPOSES)),
        readable=mostly(True, False),
    )


def snapshots() -> st.SearchStrategy[Snapshot]:
    recipients = st.builds(
        Recipient,
        id=mostly("shelter", "clinic"),
        sector=mostly("housing", "police", "health", "other"),
        standing=mostly("active", "suspended", "other"),
    )
    return st.builds(
        Snapshot,
        state=mostly("active", "paused", "erased", "other"),
        epoch=st.integers(0, 9),
        recipient=st.one_of([recipients] * 9 + [st.none()]),
        grants=st.lists(grants(), min_size=2, max_size=5, unique_by=lambda grant: grant.id),
        restrictions=st.one_of(st.just([]), st.lists(restrictions(), max_size=2)),
    )


def requests() -> st.SearchStrategy[Request]:
    return st.builds(
        Request,
        agency=mostly("shelter", "clinic"),
        purpose=mostly("referral", "court_support", "other"),
        categories=st.frozensets(st.sampled_from((*CATEGORIES, *CATEGORIES, "other")), min_size=1),
        grant=st.one_of(st.none(), st.none(), st.none(), ids()),
    )


def decided(snapshot: Snapshot, request: Request) -> Decision:
    return decide(snapshot, request, NOON, POLICY)


def oracle(snapshot: Snapshot, request: Request) -> dict[str, set[UUID]]:
    """What may be had and by which grants: every single permission is written out, then the forbidden ones struck out."""
    recipient = snapshot.recipient
    if recipient is None or (snapshot.state, recipient.standing, recipient.id) != ("active", "active", request.agency):
        return {}
    everything = set(product([recipient.id], POLICY.sectors & {recipient.sector}, POLICY.purposes, POLICY.categories))
    struck = {fact for fact in everything if fact[1] == "police" and fact[3] == "immigration"}
    for rule in snapshot.restrictions:
        pattern = (rule.agency, rule.sector, rule.purpose, rule.category)
        known = ({rule.agency}, POLICY.sectors, POLICY.purposes, POLICY.categories)
        readable = rule.readable and all(code in {None, *codes} for code, codes in zip(pattern, known, strict=True))
        struck |= {fact for fact in everything if not readable or all(map(_covers, pattern, fact))}
    allowed: dict[str, set[UUID]] = {}
    for grant in snapshot.grants:
        over = grant.ended or grant.valid_from > NOON or grant.valid_until <= NOON
        if over or request.grant not in {None, grant.id} or grant.purpose != request.purpose:
            continue
        for category in grant.categories & request.categories:
            if (grant.agency, recipient.sector, grant.purpose, category) in everything - struck:
                allowed.setdefault(category, set()).add(grant.id)
    return allowed


def _covers(rule: str | None, actual: str) -> bool:
    return rule in {None, actual}


@settings(max_examples=600)
@given(snapshots(), requests())
@example(PERMITTED, ASKED)
def test_an_oracle_that_writes_every_permission_out_agrees_exactly(snapshot: Snapshot, request: Request) -> None:
    decision, expected = decided(snapshot, request), oracle(snapshot, request)

    found = {category: verdict.grants for category, verdict in decision.verdicts.items() if verdict.permitted}
    assert found == expected
    assert decision.verdicts.keys() == request.categories
    ends = [grant.valid_until for grant in snapshot.grants if any(grant.id in ids for ids in expected.values())]
    assert decision.valid_until == min(ends, default=None)


@given(snapshots(), requests(), restrictions())
def test_a_matching_deny_overrides_every_grant(snapshot: Snapshot, request: Request, rule: Restriction) -> None:
    recipient = snapshot.recipient or Recipient("shelter", "housing", "active")
    denies = replace(rule, agency=recipient.id, sector=None, purpose=None, category=None)

    assert not decided(replace(snapshot, restrictions=[*snapshot.restrictions, denies]), request).permitted


@given(snapshots(), requests())
def test_without_a_grant_everything_is_denied(snapshot: Snapshot, request: Request) -> None:
    assert not decided(replace(snapshot, grants=[]), request).permitted


@given(snapshots(), requests(), st.randoms(use_true_random=False))
def test_the_order_of_rules_changes_nothing(snapshot: Snapshot, request: Request, chance: Random) -> None:
    def shuffled(rules: Sequence[Any]) -> list[Any]:
        return chance.sample(list(rules), len(rules))

    other = replace(snapshot, grants=shuffled(snapshot.grants), restrictions=shuffled(snapshot.restrictions))
    assert decided(other, request) == decided(snapshot, request)
    first, second = (best_grant(decided(one, request), one.grants) for one in (snapshot, other))
    assert first == second


@settings(max_examples=200)
@given(snapshots(), requests(), restrictions())
def test_adding_a_deny_never_widens(snapshot: Snapshot, request: Request, rule: Restriction) -> None:
    narrower = replace(snapshot, restrictions=[*snapshot.restrictions, rule])

    assert decided(narrower, request).permitted <= decided(snapshot, request).permitted


@settings(max_examples=200)
@given(snapshots(), requests(), st.integers(0, 5), st.booleans())
def test_ending_or_losing_a_grant_never_widens(snapshot: Snapshot, request: Request, place: int, lost: bool) -> None:
    chosen = snapshot.grants[place : place + 1]
    ended = [] if lost else [replace(grant, ended=True) for grant in chosen]
    rest = [grant for grant in snapshot.grants if grant not in chosen]

    after = decided(replace(snapshot, grants=[*rest, *ended]), request)
    assert after.permitted <= decided(snapshot, request).permitted
    assert not any(grant.id in verdict.grants for grant in chosen for verdict in after.verdicts.values())


CORRUPTIONS: dict[str, Callable[[Snapshot, str], Snapshot]] = {
    "state": lambda snapshot, code: replace(snapshot, state=code),
    "no recipient": lambda snapshot, _: replace(snapshot, recipient=None),
    "sector": lambda snapshot, code: _with_recipient(snapshot, sector=code),
    "standing": lambda snapshot, code: _with_recipient(snapshot, standing=code),
    "recipient": lambda snapshot, code: _with_recipient(snapshot, id=code),
    "grant agency": lambda snapshot, code: _with_grants(snapshot, agency=code),
    "grant purpose": lambda snapshot, code: _with_grants(snapshot, purpose=code),
    "grant categories": lambda snapshot, code: _with_grants(snapshot, categories=frozenset({code})),
    "grant times": lambda snapshot, _: _with_grants(snapshot, valid_from=NOON, valid_until=NOON - timedelta(1)),
    "deny sector": lambda snapshot, code: _with_denies(snapshot, sector=code),
    "deny category": lambda snapshot, code: _with_denies(snapshot, category=code),
    "deny purpose": lambda snapshot, code: _with_denies(snapshot, purpose=code),
    "unreadable deny": lambda snapshot, _: _with_denies(snapshot, readable=False),
}


def _with_recipient(snapshot: Snapshot, **parts: str) -> Snapshot:
    return replace(snapshot, recipient=replace(snapshot.recipient, **parts) if snapshot.recipient else None)


def _with_grants(snapshot: Snapshot, **parts: Any) -> Snapshot:
    return replace(snapshot, grants=[replace(grant, **parts) for grant in snapshot.grants])


def _with_denies(snapshot: Snapshot, **parts: Any) -> Snapshot:
    return replace(snapshot, restrictions=[replace(rule, **parts) for rule in snapshot.restrictions])


@pytest.mark.parametrize("corrupt", CORRUPTIONS)
@settings(max_examples=30)
@given(snapshot=snapshots(), request=requests(), code=st.sampled_from(STRANGE))
def test_what_is_corrupt_or_unknown_never_widens(corrupt: str, snapshot: Snapshot, request: Request, code: str) -> None:
    broken = CORRUPTIONS[corrupt](snapshot, code)

    assert decided(broken, request).permitted <= decided(snapshot, request).permitted


@pytest.mark.parametrize("part", ["sector", "category", "purpose"])
def test_a_deny_in_codes_that_nobody_knows_denies_everything(part: str) -> None:
    codes = {name: "other" if name == part else None for name in ("sector", "category", "purpose")}
    rule = Restriction(UUID(int=9), "somebody-else", codes["sector"], codes["category"], codes["purpose"])

    assert not decided(replace(PERMITTED, restrictions=[rule]), ASKED).permitted


@settings(max_examples=200)
@given(snapshots(), requests(), restrictions(), grants())
def test_rules_on_one_category_leave_the_others_alone(
    snapshot: Snapshot, request: Request, rule: Restriction, grant: Grant
) -> None:
    deny = replace(rule, category="health", sector=None, purpose=None, readable=True)
    permit = replace(grant, id=UUID(int=99), categories=frozenset({"health"}))
    changed = replace(snapshot, grants=[*snapshot.grants, permit], restrictions=[*snapshot.restrictions, deny])

    before, after = decided(snapshot, request).verdicts, decided(changed, request).verdicts
    for category in request.categories - {"health"}:
        assert after[category] == before[category]
        alone = decided(snapshot, replace(request, categories=frozenset({category})))
        assert alone.verdicts[category] == before[category]


@pytest.mark.parametrize(
    ("begins", "ends", "permitted"), [(0, 1, True), (-1, 0, False), (-1, 1, True), (1, 2, False), (0, 0, False)]
)
def test_a_grant_holds_from_its_first_instant_and_no_more_at_its_last(begins: int, ends: int, permitted: bool) -> None:
    tick = timedelta(microseconds=1)
    grant = replace(PERMITTED.grants[0], valid_from=NOON + begins * tick, valid_until=NOON + ends * tick)

    assert bool(decided(replace(PERMITTED, grants=[grant]), ASKED).permitted) is permitted


@pytest.mark.parametrize("purpose", sorted(POLICY.purposes))
def test_no_grant_opens_immigration_to_police(purpose: str) -> None:
    grant = replace(PERMITTED.grants[0], purpose=purpose, categories=POLICY.categories)
    snapshot = replace(PERMITTED, recipient=Recipient("shelter", "police", "active"), grants=[grant])

    decision = decided(snapshot, Request("shelter", purpose, POLICY.categories))
    assert decision.verdicts["immigration"] == Verdict(False, "policy-floor")
    assert decision.permitted == POLICY.categories - {"immigration"}


@given(snapshots(), requests())
def test_a_permit_rests_on_grants_that_name_agency_purpose_and_category(snapshot: Snapshot, request: Request) -> None:
    by_id = {grant.id: grant for grant in snapshot.grants}
    for category, verdict in decided(snapshot, request).verdicts.items():
        assert verdict.permitted is bool(verdict.grants)
        for grant in (by_id[name] for name in verdict.grants):
            assert (grant.agency, grant.purpose) == (request.agency, request.purpose)
            assert category in grant.categories


@pytest.mark.parametrize("part", ["agency", "purpose"])
@pytest.mark.parametrize("wildcard", [None, "*", ""])
def test_a_grant_has_no_wildcards(part: str, wildcard: Any) -> None:
    grant = replace(PERMITTED.grants[0], **{part: wildcard})

    assert not decided(replace(PERMITTED, grants=[grant]), ASKED).permitted


@pytest.mark.parametrize("code", ["purpose", "category"])
def test_a_code_that_is_not_known_opens_nothing_even_where_grant_and_question_agree_on_it(code: str) -> None:
    purpose, category = ("other", "summary") if code == "purpose" else ("referral", "other")
    grant = replace(PERMITTED.grants[0], purpose=purpose, categories=frozenset({category}))
    request = Request("shelter", purpose, frozenset({category}))

    assert not decided(replace(PERMITTED, grants=[grant]), request).permitted


def test_a_grant_of_no_category_or_of_every_one_by_a_star_opens_nothing() -> None:
    for categories in (frozenset[str](), frozenset({"*"})):
        grant = replace(PERMITTED.grants[0], categories=categories)
        assert not decided(replace(PERMITTED, grants=[grant]), ASKED).permitted


@given(snapshots(), requests())
def test_the_same_question_has_the_same_answer_to_the_byte(snapshot: Snapshot, request: Request) -> None:
    before = repr((snapshot, request, POLICY))
    once = repr(decided(snapshot, request))
    again = repr(decided(Snapshot(**{name: getattr(snapshot, name) for name in Snapshot.__slots__}), request))

    assert once == again
    assert repr((snapshot, request, POLICY)) == before


def test_the_grant_that_is_named_is_the_only_one_that_counts() -> None:
    other = replace(PERMITTED.grants[0], id=UUID(int=2))
    both = replace(PERMITTED, grants=[PERMITTED.grants[0], other])

    assert decided(both, replace(ASKED, grant=other.id)).verdicts["summary"].grants == {other.id}
    assert not decided(both, replace(ASKED, grant=UUID(int=3))).permitted
    ended = replace(both, grants=[PERMITTED.grants[0], replace(other, ended=True)])
    assert not decided(ended, replace(ASKED, grant=other.id)).permitted


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"state": "paused"}, "paused"),
        ({"state": "erased"}, "no-such-person"),
        ({"recipient": None}, "unknown-agency"),
        ({"recipient": Recipient("shelter", "housing", "suspended")}, "agency-not-active"),
        ({"recipient": Recipient("clinic", "housing", "active")}, "unknown-agency"),
        ({"grants": []}, "no-grant"),
        ({"restrictions": [Restriction(UUID(int=1), sector="housing")]}, "restriction"),
    ],
)
def test_a_denial_names_its_rule(changed: dict[str, Any], rule: str) -> None:
    verdicts = decided(replace(PERMITTED, **changed), ASKED).verdicts

    assert {verdict.rule for verdict in verdicts.values()} == {rule}


def test_a_decision_holds_until_the_first_of_its_grants_ends() -> None:
    soon, later = (NOON + timedelta(days=days) for days in (2, 9))
    grants_ = [
        replace(PERMITTED.grants[0], categories=frozenset({"summary"}), valid_until=later),
        replace(PERMITTED.grants[0], id=UUID(int=2), categories=frozenset({"health"}), valid_until=soon),
        replace(
            PERMITTED.grants[0], id=UUID(int=3), categories=frozenset({"housing"}), valid_until=NOON + timedelta(1)
        ),
    ]

    decision = decided(replace(PERMITTED, grants=grants_), replace(ASKED, categories=frozenset({"summary", "health"})))
    assert decision.valid_until == soon
    assert (decision.epoch, decision.policy_version) == (7, POLICY.version)


def test_a_box_is_sealed_under_the_grant_that_opens_most_then_lasts_longest() -> None:
    wide, long = frozenset({"summary", "health"}), NOON + timedelta(days=60)
    base = PERMITTED.grants[0]
    narrow = replace(base, id=UUID(int=2), categories=frozenset({"summary"}), valid_until=NOON + timedelta(days=90))
    short = replace(base, id=UUID(int=4), categories=wide)
    lasting = replace(base, id=UUID(int=3), categories=wide, valid_until=long)
    request = replace(ASKED, categories=wide)

    def chosen(*candidates: Grant) -> Grant | None:
        return best_grant(decided(replace(PERMITTED, grants=candidates), request), candidates)

    assert chosen(narrow, short) == short
    assert chosen(lasting, short, narrow) == lasting
    assert chosen(narrow) == narrow
    assert chosen() is None
    assert chosen(replace(lasting, ended=True), narrow) == narrow


@given(snapshots(), requests())
def test_a_box_is_only_sealed_under_a_grant_that_opens_something(snapshot: Snapshot, request: Request) -> None:
    decision = decided(snapshot, request)
    best = best_grant(decision, snapshot.grants)

    assert (best is None) is (not decision.permitted)
    if best is not None:
        assert any(best.id in verdict.grants for verdict in decision.verdicts.values())
