"""A publication is judged by what it adds: later ones do not excuse it, and earlier knowledge is not held against it."""

from dataclasses import replace

import pytest

from services.auditor.attack import Finding
from services.auditor.engines import Highs, Soplex
from services.auditor.insiders import Insider
from services.auditor.judge import Case, Judge
from tests.auditor.test_attack import F2, HOUSING, name, publication, result

YEAR_BEFORE = {"2027-Q1": 5}
HOUSING_BEFORE = name("F2", "canada", "any", "asked", "asked", "asked", "asked", period="2027-Q1")


def of(findings: list[Finding], group: str) -> Finding:
    [finding] = [finding for finding in findings if finding.group.name == group]
    return finding


@pytest.mark.slow
def test_unsafe_publication_stays_unsafe_after_harmless_ones() -> None:
    first = publication({F2: 100, result("in_time"): 40, result("late"): 40})
    not_started = name("F2", "canada", "any", "not_started", "asked", "asked", "asked")
    later = [
        publication({}, id=f"2027-r{more}", number=1 + more, revises="2027", drift=dict.fromkeys(before, 0))
        for more, before in ((1, ["2027"]), (2, ["2027", "2027-r1"]))
    ]
    for out in ([first], [first, *later[:1]], [first, *later]):
        assert not of(Judge(Highs, 10.0).judge(Case(out)), not_started).safe


@pytest.mark.parametrize("engine", [Highs, Soplex])
def test_earlier_disclosure_is_not_held_against_a_later_one(engine: type[Highs] | type[Soplex]) -> None:
    quarter = publication({F2: 10}, "2027-Q1")
    year = publication({}, number=2, drift=YEAR_BEFORE)
    finding = of(Judge(engine, 10.0).judge(Case([quarter, year])), HOUSING)
    # In the quarter there were ten or more, of whom five at most have left.
    assert (finding.safe, finding.low, finding.group.low) == (True, 5, 5)


def test_only_new_knowledge_of_an_agency_counts() -> None:
    """Earlier knowledge of an agency is not held against a publication; new knowledge is."""
    quarter, year = publication({}, "2027-Q1"), publication({}, number=2, drift={"2027-Q1": 0})
    knows = Insider({HOUSING: 30, HOUSING_BEFORE: 33})
    assert all(finding.safe for finding in Judge(Soplex, 10.0, knows).judge(Case([quarter, year])))
    told = publication({F2: 50}, number=2, drift={"2027-Q1": 0})
    findings = Judge(Soplex, 10.0, Insider({HOUSING: 30, HOUSING_BEFORE: 48})).judge(Case([quarter, told]))
    assert not of(findings, HOUSING_BEFORE).safe


def test_case_after_another_last_publication_equals_a_new_case() -> None:
    quarter, year = publication({F2: 10}, "2027-Q1"), publication({F2: 100}, number=2, drift=YEAR_BEFORE)
    other = replace(year, tables=publication({F2: 50}).tables)
    after, anew = Case([quarter, year]).after(other), Case([quarter, other])
    for one, two in (
        (after.system, anew.system),
        (after.unsaid, anew.unsaid),
        (after.earlier.system, anew.earlier.system),
    ):
        assert (one.names, one.rows, one.groups) == (two.names, two.rows, two.groups)
        assert (one.lower == two.lower).all()
        assert (one.upper == two.upper).all()
