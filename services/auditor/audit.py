"""The audit: attacks all publications of a folder with both solvers, and as each agency whose own counts are given."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from services.auditor.attack import Attack, Finding
from services.auditor.engines import ENGINES, Highs, Soplex
from services.auditor.insiders import Insider
from services.auditor.judge import Case, Judge
from services.auditor.published import Doubt, Publication, read_all
from services.auditor.system import build

SECONDS = 60.0
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of an audit: which groups were found and by whom, or why the audit could not tell."""

    publications: tuple[str, ...]
    hidden: int
    differences: int
    insiders: int
    solvers: tuple[str, ...]
    findings: tuple[Finding, ...]
    # (solver and insider, finding): the unsafe findings.
    found: tuple[tuple[str, Finding], ...]
    doubt: str | None = None

    @property
    def safe(self) -> bool:
        """Return whether it is certain that nobody can be found."""
        return not self.found and self.doubt is None

    def as_json(self) -> dict[str, Any]:
        """Return the verdict with the interval and the requirement of each hidden cell."""
        return {
            "safe": self.safe,
            "doubt": self.doubt,
            "publications": list(self.publications),
            "solvers": list(self.solvers),
            "hidden": self.hidden,
            "differences": self.differences,
            "insiders": self.insiders,
            "found": [{"by": who, **_told(finding)} for who, finding in self.found],
            "cells": [_told(finding) for finding in self.findings if not finding.group.inner],
        }


def audit(folder: Path, progress: Progress, insiders: Sequence[Insider] = ()) -> Verdict:
    """Attack everything in a folder of downloaded publications; a group counts as unsafe unless it is proved safe."""
    try:
        publications = read_all(folder)
        _together(publications)
    except Doubt as doubt:
        return _doubtful((), str(doubt))
    return attack_all(publications, progress, insiders)


def attack_all(publications: Sequence[Publication], progress: Progress, insiders: Sequence[Insider] = ()) -> Verdict:
    """Attack these publications; a group counts as unsafe unless it is proved safe."""
    names = tuple(publication.id for publication in publications)
    findings: list[Finding] = []
    found: list[tuple[str, Finding]] = []
    try:
        for year, members in _by_year(publications).items():
            for who, results in _attacks(year, members, insiders, progress):
                if who == Highs.name:
                    findings += results
                found += [(who, finding) for finding in results if not finding.safe]
    except Doubt as doubt:
        return _doubtful(names, str(doubt))
    hidden = sum(not finding.group.inner for finding in findings)
    solvers = tuple(engine.name for engine in ENGINES)
    return Verdict(names, hidden, len(findings) - hidden, len(insiders), solvers, tuple(findings), tuple(found))


def sound(folder: Path, truth: Mapping[str, int], verdict: Verdict) -> Verdict:
    """Return the verdict, with a doubt if the truth is impossible in the attacker's system: the attack would prove nothing.

    Only the hub can ask this. `truth` has the size of each group of people that is counted, by its name.
    """
    try:
        for members in _by_year(read_all(folder)).values():
            system = build(members)
            told = np.array([truth.get(name, -1) for name in system.names], dtype=np.int64)
            known = told >= 0
            fixed = replace(
                system,
                lower=np.where(known, np.maximum(system.lower, told), system.lower),
                upper=np.where(known, np.minimum(system.upper, told), system.upper),
                groups=(),
            )
            if (fixed.lower > fixed.upper).any():
                raise Doubt("The truth is not among what the published numbers allow.")
            Attack(fixed, Highs, SECONDS).run((), _quietly)
    except Doubt as doubt:
        return replace(verdict, doubt=f"The system does not hold the truth: {doubt}")
    return verdict


def _together(publications: Sequence[Publication]) -> None:
    """Raise `Doubt` unless every publication has those beside which it came out: an attacker who subtracts has them too."""
    here = {publication.id for publication in publications}
    for publication in publications:
        for name in sorted(publication.drift.keys() - here):
            raise Doubt(f"{publication.id} came out beside {name}, which is not here.")


def _by_year(publications: Sequence[Publication]) -> Mapping[str, list[Publication]]:
    years: dict[str, list[Publication]] = defaultdict(list)
    for publication in publications:
        years[publication.year].append(publication)
    return years


def _attacks(
    year: str, members: Sequence[Publication], insiders: Sequence[Insider], progress: Progress
) -> Iterator[tuple[str, list[Finding]]]:
    case = Case(members)
    for engine in ENGINES:
        stage = f"{year}, anybody with {engine.name.split()[0]}"
        yield engine.name, Judge(engine, SECONDS).judge(case, lambda at, of, stage=stage: progress(stage, at, of))  # type: ignore[misc]
    for at, insider in enumerate(insiders):
        progress(f"{year}, agencies", at, len(insiders))
        yield f"{Soplex.name}, agency {at + 1}", Judge(Soplex, SECONDS, insider).judge(case)
    progress(f"{year}, agencies", len(insiders), len(insiders))


def _quietly(at: int, of: int) -> None:
    """Ignore progress within one of many attacks."""


def _doubtful(names: tuple[str, ...], why: str) -> Verdict:
    return Verdict(names, 0, 0, 0, tuple(engine.name for engine in ENGINES), (), (), why)


def _told(finding: Finding) -> Mapping[str, Any]:
    group = finding.group
    return {
        "group": group.name,
        "possible": list(finding.reach),
        "required": [group.low, group.high],
        "or_at_least": group.floor,
        "safe": finding.safe,
    }
