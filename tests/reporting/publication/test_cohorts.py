"""Years of publications of made-up cohorts: the attacker has everything that is published, and finds nobody."""

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.auditor import published
from services.auditor.attack import Attack
from services.auditor.audit import attack_all
from services.auditor.engines import Soplex
from services.auditor.system import Group, build
from services.reporting.publication.drafts import Draft, begin
from services.reporting.publication.secondary_suppression import InsiderKnowledge, suppress_further
from tests.support.cohorts import Cohort, shipped, tables
from tests.support.publishing import Press, quietly, share

LARGE = {
    "60 people": Cohort(11, 60, agencies=3),
    "100 people": Cohort(12, 100),
    "one dominant agency": Cohort(13, 200, dominant=0.6),
    "tiny cities": Cohort(14, 300, skew=2.0),
    "even cities": Cohort(15, 300, skew=0.3),
    "a hub": Cohort(16, 400),
    "few agencies": Cohort(17, 600, agencies=3),
    "many agencies": Cohort(18, 1000, agencies=6),
    "2,000 people": Cohort(19, 2000),
    "5,000 people": Cohort(20, 5000),
}

# Each agency is everywhere, so that there are few of them, and the plan is brief; the attacks are unchanged.
SMALL = {
    "60 people, brief plan": Cohort(31, 60, agencies=4, local=False),
    "tiny cities, one dominant agency, brief plan": Cohort(32, 200, skew=2.0, dominant=0.5, agencies=4, local=False),
}


def years(press: Press, count: int) -> None:
    """Publish quarter by quarter and year by year, while people withdraw and events come late."""
    dice = random.Random(press.cohort.seed)  # noqa: S311
    for year in range(2026, 2026 + count):
        for period in (*(f"{year}-Q{number}" for number in range(1, 5)), f"{year}"):
            press.publish(period)
            there = sorted({row.person for row in press.cohort.asked(f"{year}-Q1")})
            press.cohort.gone.update(dice.sample(there, min(2, len(there))))


def alone(draft: Draft) -> Draft:
    """Return a year protected as if nothing else were ever published, against outsiders only."""
    return suppress_further(draft, [], InsiderKnowledge(draft.persons()), quietly)


EXACT, BRIEF = 99, 98
BRIEF_FAMILIES = {"any", "F1", "F2", "F8", "F17"}


@pytest.fixture(autouse=True)
def more_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules that show exact numbers, and a plan with only a few families of needs."""
    public = published._public

    def with_more(folder: str, version: int) -> Mapping[str, Any]:
        if (folder, version) == ("rules", EXACT):
            return {**public(folder, 1), "base": 1}
        return brief(public(folder, 1)) if (folder, version) == ("plans", BRIEF) else public(folder, version)

    monkeypatch.setattr(published, "_public", with_more)


def brief(plan: Mapping[str, Any]) -> Mapping[str, Any]:
    tables = [
        {
            **table,
            "cells": {
                **table["cells"],
                "family": [code for code in table["cells"]["family"] if code in BRIEF_FAMILIES],
            },
        }
        for table in plan["tables"]
    ]
    return {**plan, "tables": [table for table in tables if table["cells"]["family"]]}


def narrowed(draft: Draft, low: int, high: int, within: int) -> tuple[float, float]:
    """Return the shares of hidden cells known exactly, and to within two, by an attacker of a naive release.

    Only `low` to `high` are hidden, which the attacker knows; the rest is exact, or the nearest five (`within` two).
    """
    shown = draft.shown()
    system = build([replace(shown, tables={name: dict.fromkeys(cells) for name, cells in shown.tables.items()})])
    truth = draft.persons()
    sizes = np.array([truth.get(name, -1) for name in system.names])
    hidden = (sizes >= low) & (sizes <= high)
    told = (sizes >= 0) & ~hidden
    nearest = 5 * ((sizes + 2) // 5) if within else sizes
    lower = np.where(hidden, low, np.where(told, np.maximum(nearest - within, 0), system.lower))
    upper = np.where(hidden, high, np.where(told, nearest + within, system.upper))
    # Bounds that nothing meets, so that each cell is pushed as far as it goes.
    groups = tuple(Group(system.names[at], int(at), (), -1, 10**6, 10**6) for at in np.flatnonzero(hidden))
    attacked = replace(system, lower=lower, upper=upper, groups=groups)
    findings = Attack(attacked, Soplex, 10.0).run((), still)
    widths = [finding.most - finding.least for finding in findings]
    return sum(width == 0 for width in widths) / len(widths), sum(width <= 2 for width in widths) / len(widths)


def still(done: int, total: int) -> None:
    assert done <= total


@pytest.fixture
def hub(tmp_path: Path) -> Press:
    return Press(Cohort(3, 300, agencies=3), tmp_path)


def test_i6_naive_releases_of_the_shipped_cohort_are_caught(capsys: pytest.CaptureFixture[str]) -> None:
    found = tables(shipped(372, 1, "2026-Q1"), "2026")
    draft = begin(("2026", 1, "2026"), (1, 1), found, b"secret")
    (naive, near), (fives, close) = narrowed(draft, 1, 4, 0), narrowed(draft, 1, 7, 2)
    with capsys.disabled():
        print("\nOf the hidden cells of the shipped cohort's year an attacker knows exactly, and to within two:")
        print(f"  if 1 to 4 are hidden and the rest is exact: {naive:.1%}, {near:.1%}")
        print(f"  if 1 to 7 are hidden and the rest is the nearest five: {fives:.1%}, {close:.1%}")
    assert naive > 0.3
    assert near > close > 0


@pytest.mark.slow
def test_i6_audit_passes_only_with_secondary_suppression(hub: Press) -> None:
    bare = hub.draft("2026")
    assert not attack_all([bare.shown()], quietly).safe
    assert attack_all([alone(bare).shown()], quietly).safe


def compare(name: str, press: Press, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that more of a year is published than by plain suppression; print both shares."""
    draft = Press(replace(press.cohort, gone=set()), press.folder, plan=press.plan).draft("2026")
    ours, theirs = share(alone(draft)), share(alone(replace(draft, rules=EXACT)))
    with capsys.disabled():
        print(f"\n{name}: {ours:.1%} of the annual plan is published; {theirs:.1%} by hiding alone.")
    assert ours > theirs


def nobody_is_found(press: Press) -> None:
    verdict = press.verdict()
    assert verdict.doubt is None
    assert [(who, finding.group.name) for who, finding in verdict.found] == []
    assert len(verdict.publications) == 10
    assert len(verdict.solvers) == 2
    assert verdict.insiders >= 3 + 10


@pytest.mark.slow
def test_more_is_published_than_by_plain_suppression(hub: Press, capsys: pytest.CaptureFixture[str]) -> None:
    compare("300 people", hub, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_two_years_of_a_small_cohort_are_safe(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    press = Press(SMALL[name], tmp_path, late=0.03, plan=BRIEF)
    years(press, 2)
    nobody_is_found(press)
    compare(name, press, capsys)


@pytest.mark.soak
@pytest.mark.parametrize("name", LARGE)
def test_two_years_of_every_cohort_are_safe(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    press = Press(LARGE[name], tmp_path, late=0.03)
    years(press, 2)
    nobody_is_found(press)
    compare(name, press, capsys)
