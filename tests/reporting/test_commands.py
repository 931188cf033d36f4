"""Advice that the command line gives about a draft that is not safe."""

from pathlib import Path

from services.auditor.audit import attack_all
from services.reporting.commands import FEW, _advice
from tests.support.cohorts import Cohort
from tests.support.publishing import Press, quietly


def test_refused_draft_tells_what_stands_and_what_to_coarsen(tmp_path: Path) -> None:
    verdict = attack_all([Press(Cohort(3, 300, agencies=4, local=False), tmp_path).draft("2026-Q1").shown()], quietly)
    assert not verdict.safe
    stands, coarsen = _advice(verdict)
    assert stands == "Nothing changes: what is published stands."
    named = coarsen.removeprefix("Coarsen, or leave out of the plan: ").split(", ")
    found = {name for _, finding in verdict.found for name in finding.group.name.split(" without ")}
    assert {f"2026-Q1:{name}" for name in named} <= found
    assert 1 <= len(named) <= FEW


def test_safe_draft_gets_no_advice(tmp_path: Path) -> None:
    shown = Press(Cohort(3, 300, agencies=4, local=False), tmp_path).draft("2026-Q1").shown()
    assert _advice(attack_all([shown.blank()], quietly)) == []
