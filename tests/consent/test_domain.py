"""Test that `decide` keeps its promises for any input, and agrees with an oracle that works in another way."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import schemas
from services.consent import domain
from services.consent import policy as policy_module
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
from services.consent.policy import reason
from tests.support.clocks import NOON
from tests.support.decision_strategies import (
    ASKED,
    CATEGORIES,
    PERMITTED,
    POLICY,
    STRANGE,
    decided,
    grants,
    requests,
    restrictions,
    snapshots,
)


def oracle(snapshot: Snapshot, request: Request) -> dict[str, set[UUID]]:
    """Return the permitted categories, each with the ids of its grants.

    It lists every single permission, then strikes out the forbidden ones.
    """
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


@pytest.mark.slow
@settings(max_examples=600)
@given(snapshots(), requests())
@example(PERMITTED, ASKED)
def test_decide_agrees_with_an_enumerating_oracle(snapshot: Snapshot, request: Request) -> None:
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
def test_corrupt_or_unknown_input_never_widens(corrupt: str, snapshot: Snapshot, request: Request, code: str) -> None:
    broken = CORRUPTIONS[corrupt](snapshot, code)

    assert decided(broken, request).permitted <= decided(snapshot, request).permitted


@pytest.mark.parametrize("part", ["sector", "category", "purpose"])
def test_deny_with_unknown_code_denies_everything(part: str) -> None:
    """A deny with an unknown code may mean anything, so it denies even if it names another agency."""
    codes = {name: "other" if name == part else None for name in ("sector", "category", "purpose")}
    rule = Restriction(UUID(int=9), "somebody-else", codes["sector"], codes["category"], codes["purpose"])

    assert not decided(replace(PERMITTED, restrictions=[rule]), ASKED).permitted


@pytest.mark.parametrize(
    ("part", "same", "other"),
    [
        ("agency", "shelter", "clinic"),
        ("sector", "housing", "police"),
        ("category", "summary", "health"),
        ("purpose", "referral", "court_support"),
    ],
)
def test_deny_applies_only_to_what_it_names(part: str, same: str, other: str) -> None:
    asked = replace(ASKED, categories=frozenset({"summary"}))
    for named, permitted in ((same, False), (other, True)):
        named_in: Any = {part: named}
        rule = Restriction(UUID(int=9), **named_in)
        assert bool(decided(replace(PERMITTED, restrictions=[rule]), asked).permitted) is permitted


@settings(max_examples=200)
@given(snapshots(), requests(), restrictions(), grants())
def test_rules_on_one_category_do_not_change_others(
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
def test_grant_holds_from_its_start_until_before_its_end(begins: int, ends: int, permitted: bool) -> None:
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
def test_permit_rests_only_on_grants_matching_the_request(snapshot: Snapshot, request: Request) -> None:
    by_id = {grant.id: grant for grant in snapshot.grants}
    for category, verdict in decided(snapshot, request).verdicts.items():
        assert verdict.permitted is bool(verdict.grants)
        for grant in (by_id[name] for name in verdict.grants):
            assert (grant.agency, grant.purpose) == (request.agency, request.purpose)
            assert category in grant.categories


@pytest.mark.parametrize("part", ["agency", "purpose"])
@pytest.mark.parametrize("wildcard", [None, "*", ""])
def test_grant_with_wildcard_permits_nothing(part: str, wildcard: Any) -> None:
    grant = replace(PERMITTED.grants[0], **{part: wildcard})

    assert not decided(replace(PERMITTED, grants=[grant]), ASKED).permitted


@pytest.mark.parametrize("code", ["purpose", "category"])
def test_unknown_code_is_denied_even_if_a_grant_names_it(code: str) -> None:
    purpose, category = ("other", "summary") if code == "purpose" else ("referral", "other")
    grant = replace(PERMITTED.grants[0], purpose=purpose, categories=frozenset({category}))
    request = Request("shelter", purpose, frozenset({category}))

    assert not decided(replace(PERMITTED, grants=[grant]), request).permitted


def test_grant_of_no_category_or_star_permits_nothing() -> None:
    for categories in (frozenset[str](), frozenset({"*"})):
        grant = replace(PERMITTED.grants[0], categories=categories)
        assert not decided(replace(PERMITTED, grants=[grant]), ASKED).permitted


@given(snapshots(), requests())
def test_decide_is_deterministic_and_keeps_its_input(snapshot: Snapshot, request: Request) -> None:
    """Equal input gives an equal decision, byte for byte, and no input is changed."""
    before = repr((snapshot, request, POLICY))
    once = repr(decided(snapshot, request))
    again = repr(decided(Snapshot(**{name: getattr(snapshot, name) for name in Snapshot.__slots__}), request))

    assert once == again
    assert repr((snapshot, request, POLICY)) == before


def test_request_naming_a_grant_uses_only_that_grant() -> None:
    """A named grant that is unknown or has ended permits nothing, even beside another live one."""
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
        ({"recipient": Recipient("shelter", "gossip", "active")}, "unknown-agency"),
        ({"grants": []}, "no-grant"),
        ({"restrictions": [Restriction(UUID(int=1), sector="housing")]}, "restriction"),
    ],
)
def test_a_denial_names_its_rule(changed: dict[str, Any], rule: str) -> None:
    verdicts = decided(replace(PERMITTED, **changed), ASKED).verdicts

    assert {verdict.rule for verdict in verdicts.values()} == {rule}


def test_decision_holds_until_the_first_used_grant_ends() -> None:
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


def test_best_grant_opens_most_then_lasts_longest() -> None:
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
def test_best_grant_permits_something_or_is_none(snapshot: Snapshot, request: Request) -> None:
    decision = decided(snapshot, request)
    best = best_grant(decision, snapshot.grants)

    assert (best is None) is (not decision.permitted)
    if best is not None:
        assert any(best.id in verdict.grants for verdict in decision.verdicts.values())


class Broken:
    """A value that cannot be read: every operation on it raises."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return object
        raise RuntimeError(name)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        raise RuntimeError


WHOLE = replace(
    PERMITTED,
    grants=[PERMITTED.grants[0], replace(PERMITTED.grants[0], id=UUID(int=2))],
    restrictions=[Restriction(UUID(int=3), "clinic", "health", "health", "court_support")],
)
GARBAGE: list[Any] = [Broken(), object(), [], {}, 5, b"x", "x", None, True, float("nan")]


@pytest.mark.parametrize("value", GARBAGE, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("part", ["snapshot", "recipient", "grant", "restriction", "request", "policy"])
def test_unreadable_value_never_widens_or_raises(part: str, value: Any) -> None:
    """Exception injection: each value that a decision reads is replaced by one that raises, and by other rubbish."""
    whole: Any = WHOLE
    targets: dict[str, Any] = {
        "snapshot": whole,
        "recipient": whole.recipient,
        "grant": whole.grants[0],
        "restriction": whole.restrictions[0],
        "request": ASKED,
        "policy": POLICY,
    }
    before = decided(WHOLE, ASKED).permitted
    assert before == set(CATEGORIES)
    for name in type(targets[part]).__slots__:
        broken = replace(targets[part], **{name: value})
        snapshots_ = {
            "snapshot": broken,
            "recipient": replace(whole, recipient=broken),
            "grant": replace(whole, grants=[broken, *whole.grants[1:]]),
            "restriction": replace(whole, restrictions=[broken]),
        }
        request, policy = (broken if part == kind else targets[kind] for kind in ("request", "policy"))
        assert decide(snapshots_.get(part, whole), request, NOON, policy).permitted <= before


@pytest.mark.parametrize("place", range(4))
def test_wholly_unreadable_argument_denies(place: int) -> None:
    for value in GARBAGE:
        arguments: list[Any] = [WHOLE, ASKED, NOON, POLICY]
        arguments[place] = value
        assert not decide(*arguments).permitted


def test_unreadable_grant_denies_every_asked_category() -> None:
    """The decision then names no epoch and no policy version."""
    grant: Any = WHOLE.grants[0]
    decision = decided(replace(WHOLE, grants=[replace(grant, valid_until=None)]), ASKED)

    assert {verdict.rule for verdict in decision.verdicts.values()} == {"unreadable"}
    assert decision.verdicts.keys() == ASKED.categories
    assert (decision.epoch, decision.policy_version, decision.valid_until) == (0, "", None), (
        "an unreadable decision has no epoch and policy"
    )


def test_grant_with_text_as_categories_permits_nothing() -> None:
    """In the text "mental_health", `in` would find the category "health"."""
    grant = replace(PERMITTED.grants[0], categories="summary,mental_health")  # type: ignore[arg-type]

    assert not decided(replace(PERMITTED, grants=[grant]), ASKED).permitted


@pytest.mark.parametrize("ended", [None, 0, "", [], "false"])
def test_grant_whose_ended_is_not_false_permits_nothing(ended: Any) -> None:
    grant = replace(PERMITTED.grants[0], ended=ended)

    assert not decided(replace(PERMITTED, grants=[grant]), ASKED).permitted


@pytest.mark.parametrize("readable", [None, 1, "yes", 0])
def test_deny_whose_readable_is_not_true_denies_everything(readable: Any) -> None:
    rule = Restriction(UUID(int=9), agency="somebody-else", readable=readable)

    assert not decided(replace(PERMITTED, restrictions=[rule]), ASKED).permitted


def with_ends(policy_end: timedelta | None, token_end: timedelta | None) -> Decision:
    policy = replace(POLICY, until=None if policy_end is None else NOON + policy_end)
    request = replace(ASKED, until=None if token_end is None else NOON + token_end)
    return decide(PERMITTED, request, NOON, policy)


def test_decision_ends_with_first_of_grant_policy_and_token() -> None:
    hour, day, month = timedelta(hours=1), timedelta(days=1), timedelta(days=30)

    assert with_ends(None, None).valid_until == NOON + month
    assert with_ends(day, None).valid_until == NOON + day
    assert with_ends(day, hour).valid_until == with_ends(None, hour).valid_until == NOON + hour
    assert with_ends(hour, day).valid_until == NOON + hour
    assert with_ends(2 * month, 2 * month).valid_until == NOON + month


def test_permit_and_denial_of_unknown_code_name_their_rules() -> None:
    named = {"referral": "grant", "other": "unknown-purpose"}
    for purpose, rule in named.items():
        verdicts = decided(PERMITTED, replace(ASKED, purpose=purpose)).verdicts
        assert {verdict.rule for verdict in verdicts.values()} == {rule}
    verdicts = decided(PERMITTED, replace(ASKED, categories=frozenset({"gossip"}))).verdicts
    assert verdicts == {"gossip": Verdict(False, "unknown-category")}


@pytest.mark.parametrize("over", [timedelta(0), timedelta(microseconds=-1)])
def test_expired_policy_or_token_permits_nothing(over: timedelta) -> None:
    for decision, rule in ((with_ends(over, None), "policy-over"), (with_ends(None, over), "token-over")):
        assert {verdict.rule for verdict in decision.verdicts.values()} == {rule}
        assert decision.valid_until is None
    assert with_ends(timedelta(microseconds=1), timedelta(microseconds=1)).permitted


def test_every_decision_rule_is_explained_in_both_languages() -> None:
    source = Path(domain.__file__).read_text("utf-8")
    named = set(re.findall(r'_deny\("([a-z-]+)"\)', source)) | set(re.findall(r'Verdict\(True, "([a-z-]+)"', source))

    assert named == schemas.code_set("rules")
    for rule in named:
        assert reason(rule, "en") != reason(rule, "fr")
    permitting = {code.code for code in schemas.codes("rules") if code.extra["x-permits"]}
    assert permitting == {"grant"}


def test_policy_files_are_numbered_and_newest_is_in_force() -> None:
    numbers = [int(path.stem) for path in (Path(schemas.__file__).parent / "policies").glob("*.json")]

    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert int(policy_module.POLICY) == max(numbers)
    for number in numbers:
        assert policy_module.policy(str(number)).version == str(number)


def test_every_policy_uses_known_codes_and_gives_reasons() -> None:
    for path in (Path(schemas.__file__).parent / "policies").glob("*.json"):
        document = json.loads(path.read_text("utf-8"))
        assert 1 <= document["grant_days"]["default"] <= document["grant_days"]["maximum"] <= 90
        for floor in document["floors"]:
            assert floor["sector"] in schemas.code_set("sectors")
            assert floor["category"] in schemas.code_set("categories")
            assert floor["why"].endswith(".")
            assert floor["x-why-fr"].endswith(".")
        assert ("police", "immigration") in policy_module.policy(document["version"]).floors


def test_old_policy_gives_same_decision_after_a_newer_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old decision can be made again by the policy version that it names."""
    folder = tmp_path / "policies"
    shutil.copytree(Path(schemas.__file__).parent / "policies", folder)
    newest = json.loads((folder / f"{POLICY.version}.json").read_text("utf-8"))
    newer = {**newest, "version": "newer", "floors": [*newest["floors"], {"sector": "housing", "category": "health"}]}
    (folder / "newer.json").write_text(json.dumps(newer), "utf-8")
    monkeypatch.setattr(policy_module, "files", lambda _package: tmp_path)
    # Without the cache, so that the files are read after the newer one was added.
    load = policy_module.policy.__wrapped__

    before = repr(decide(PERMITTED, ASKED, NOON, POLICY))
    assert "health" not in decide(PERMITTED, ASKED, NOON, load("newer")).permitted
    assert repr(decide(PERMITTED, ASKED, NOON, load(POLICY.version))) == before


@given(snapshots(), requests(), st.sampled_from(sorted(POLICY.categories)), st.sampled_from(sorted(POLICY.sectors)))
def test_a_stricter_policy_never_widens(snapshot: Snapshot, request: Request, category: str, sector: str) -> None:
    stricter = replace(POLICY, floors=POLICY.floors | {(sector, category)})

    assert decide(snapshot, request, NOON, stricter).permitted <= decided(snapshot, request).permitted
