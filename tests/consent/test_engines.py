"""Test that two authorization engines, written independently, agree with `decide` on every question."""

from dataclasses import replace
from pathlib import Path
from random import Random
from uuid import UUID

import cedarpy
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings

from services.consent.domain import Request, Restriction, Snapshot
from tests.support.authorization_engines import Case, cedar_permits, fga_agrees
from tests.support.clocks import NOON
from tests.support.decision_strategies import ASKED, PERMITTED, POLICY, decided, requests, snapshots

CASES = 400


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(snapshots(), requests())
@example(PERMITTED, ASKED)
def test_cedar_agrees(snapshot: Snapshot, request: Request) -> None:
    assert decided(snapshot, request).permitted == cedar_permits(snapshot, request, NOON, POLICY)


def cases() -> list[Case]:
    """Generate questions with the permitted categories that `decide` answers."""
    made = [Case(PERMITTED, ASKED, decided(PERMITTED, ASKED).permitted)]

    @settings(max_examples=CASES, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(snapshots(), requests())
    def gather(snapshot: Snapshot, request: Request) -> None:
        made.append(Case(snapshot, request, decided(snapshot, request).permitted))

    gather()
    return made


@pytest.mark.slow
def test_openfga_agrees(tmp_path: Path) -> None:
    asked = cases()
    assert len(asked) > CASES / 2
    assert sum(bool(case.permitted) for case in asked) > CASES / 20, "hardly anything was permitted"

    agreed, said = fga_agrees(asked, NOON, POLICY, tmp_path)
    assert agreed, said


@pytest.mark.parametrize("permitted", [frozenset[str](), ASKED.categories - {"health"}])
def test_openfga_reports_a_disagreement(permitted: frozenset[str], tmp_path: Path) -> None:
    agreed, said = fga_agrees([Case(PERMITTED, ASKED, permitted)], NOON, POLICY, tmp_path)

    assert not agreed
    assert "FAILING" in said or "failed" in said.lower()


def test_cedar_permits_when_it_skips_an_unreadable_rule() -> None:
    """Cedar skips a rule that it cannot evaluate and permits; `decide` denies.

    So an error beside an engine's answer counts as a denial in these tests, and no engine decides in the hub.
    """
    policies = (
        'permit(principal, action, resource);\nforbid(principal, action, resource) when { context.missing == "x" };'
    )
    answer = cedarpy.is_authorized(
        {"principal": 'Agency::"a"', "action": 'Action::"b"', "resource": 'Category::"c"', "context": {}}, policies, []
    )
    assert answer.allowed
    assert answer.diagnostics.errors

    unreadable = Restriction(UUID(int=9), category="health", readable=False)
    assert not decided(replace(PERMITTED, restrictions=[unreadable]), ASKED).permitted


def test_cedar_agrees_for_rules_in_any_order() -> None:
    rules = [Restriction(UUID(int=number), category=name) for number, name in enumerate(("health", "summary"), 1)]
    for seed in range(5):
        shuffled = Random(seed).sample(rules, len(rules))  # noqa: S311 - nothing here is a secret
        snapshot = replace(PERMITTED, restrictions=shuffled)
        assert cedar_permits(snapshot, ASKED, NOON, POLICY) == decided(snapshot, ASKED).permitted == {"immigration"}
