"""Invariants of every publication, for any cohort; `docs/reporting.md` lists these by their numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest

from services.auditor import published
from services.auditor.audit import Verdict, attack_all
from services.auditor.engines import Highs
from services.auditor.insiders import Insider
from services.auditor.judge import Case, Judge
from services.auditor.published import Publication, read_all
from services.auditor.system import System
from services.reporting.publication import files, insider_knowledge, secondary_suppression
from services.reporting.publication.drafts import Draft
from tests.support.cohorts import Cohort
from tests.support.posterior import MACROS, Belief, beliefs
from tests.support.publishing import Press, quietly, share

QUARTER = "2026-Q1"
PARTS = {"need", "need-result", "need-macro-result"}
SURE = 0.9


def drawn(number: int) -> Cohort:
    """Some cohort."""
    dice = Random(number)  # noqa: S311
    return Cohort(
        seed=number,
        size=dice.choice((60, 120, 250)),
        skew=dice.choice((0.3, 1.0, 2.0)),
        dominant=dice.choice((0.0, 0.5)),
        agencies=dice.choice((3, 4)),
        local=False,
    )


@dataclass(frozen=True, slots=True)
class Release:
    """A protected quarter, the truth about it, and the auditor's findings."""

    press: Press
    draft: Draft
    verdict: Verdict

    @property
    def insiders(self) -> Sequence[Insider]:
        return self.press.insider_knowledge(self.press.known).insiders

    def size(self, names: Sequence[str]) -> int:
        """Return the true size of a difference."""
        persons = self.draft.persons()
        return persons[names[0]] - sum(persons[name] for name in names[1:])


@pytest.fixture(scope="module", params=[1, 2, *(pytest.param(n, marks=pytest.mark.soak) for n in range(3, 33))])
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Release:
    press = Press(drawn(request.param), tmp_path_factory.mktemp("release"))
    draft = press.publish(QUARTER)
    return Release(press, draft, press.verdict())


def test_i4_every_hidden_cell_might_be_empty_and_might_be_large(release: Release) -> None:
    """The truth is possible in the attacker's system."""
    # The verdict is one on the truth as well: a system that does not hold it is a doubt.
    assert release.verdict.safe, release.verdict.as_json()
    cells = [finding for finding in release.verdict.findings if not finding.group.inner]
    values = [value for table in release.draft.shown().tables.values() for value in table.values()]
    assert len(cells) == values.count(None) > 50
    assert set(values) != {None}
    for finding in cells:
        floor = finding.group.floor
        assert (finding.low == 0 and finding.high >= floor - 1) or release.size([finding.group.name]) >= floor


def test_i5_every_difference_might_be_empty_or_is_truly_large(release: Release) -> None:
    """It might be empty and might be large, or it is large in truth."""
    names = Case(read_all(release.press.folder)).system.names
    differences = [finding for finding in release.verdict.findings if finding.group.inner]
    assert len(differences) > 50
    for finding in differences:
        floor = finding.group.floor
        open_ = finding.low <= 0 and finding.high >= floor - 1
        assert open_ or release.size([names[column] for column in finding.group.columns]) >= floor


def test_i11_no_agency_and_no_pair_of_the_largest_finds_anybody(release: Release) -> None:
    """Each agency knows its own clients; the two largest attack together."""
    case = Case(read_all(release.press.folder))
    assert len(release.insiders) >= 4
    assert release.insiders[-1].about == QUARTER
    for insider in release.insiders:
        # With the solver that the audit does not use for agencies.
        for finding in Judge(Highs, 60.0, insider).judge(case):
            assert finding.safe
            if not finding.group.inner:
                known = insider.own.get(finding.group.name, 0)
                floor = published.rules(1)["floor"]
                assert finding.low <= known or release.size([finding.group.name]) - known >= 5
                assert finding.high - known >= floor - 1 or release.size([finding.group.name]) >= floor


def test_i11_coalition_knows_each_client_of_either_once(corpus: Press) -> None:
    """Two agencies together know the clients of either, and count nobody twice."""
    draft = corpus.draft(QUARTER)
    two = set(insider_knowledge.truth(draft)["pair"])
    together = corpus.insider_knowledge([draft]).insiders[-1]
    for family in ("F2", "F8", "F17"):
        rows = [row for row in corpus.rows(QUARTER, 1) if row.family == family]
        assert any(two <= row.agencies for row in rows)
        known = {row.person for row in rows if two & row.agencies}
        assert together.own[draft.name("need", (family,))] == len(known)


def test_i12_no_hidden_cell_is_nearly_surely_empty_or_small(release: Release) -> None:
    families = {key[0] for key, value in release.draft.shown().tables["need"].items() if value is not None}
    found = [
        belief for family in sorted(families) for belief in weighed(release.draft.shown(), release.draft, family, 5)
    ]
    assert [belief for belief in found if belief.nobody > SURE or belief.few > SURE] == []


def test_i12_cell_given_away_by_exact_numbers_is_believed() -> None:
    shown: dict[tuple[str, tuple[str, ...]], int | None] = {
        ("need", ("F2",)): 40,
        ("need-result", ("F2", "in_time")): 20,
        ("need-result", ("F2", "late")): 18,
        ("need-result", ("F2", "not_started")): None,
    }
    regions = [
        ("need-macro-result", ("F2", region, result)) for region in MACROS[:4] for result in ("in_time", "not_in_time")
    ]
    truth: dict[tuple[str, tuple[str, ...]], int] = {
        **dict.fromkeys(regions, 4),
        **{cell: value or 2 for cell, value in shown.items()},
    }
    [belief] = beliefs(shown, truth, 1, 2000)
    assert belief.few > SURE


def weighed(shown: Publication, draft: Draft, family: str, step: int) -> Sequence[Belief]:
    found = {(table, key): value for table in PARTS for key, value in shown.tables[table].items() if key[0] == family}
    truth = {cell: draft.tables[cell[0]][cell[1]].persons for cell in found}
    return beliefs(found, truth, step, 4000)


@pytest.mark.slow
@pytest.mark.parametrize("comes", [True, False], ids=["one more", "one fewer"])
def test_i9_one_survivor_more_or_fewer_is_not_found(comes: bool, tmp_path: Path) -> None:
    """Publications before and after the change are compared."""
    press = Press(Cohort(5, 150, agencies=3, local=False), tmp_path)
    shown = {row.person for row in press.cohort.asked(QUARTER) if row.family == "F2"}
    press.cohort.gone.update({min(shown)} if comes else ())
    press.publish(QUARTER)
    press.cohort.gone ^= {min(shown)}
    after = press.publish(QUARTER, revises=QUARTER)
    assert after.persons() != {name.replace(QUARTER, after.id): size for name, size in press.known[0].persons().items()}
    assert after.shown().drift == {QUARTER: 1}
    verdict = press.verdict()
    assert len(verdict.publications) == 2
    assert verdict.safe, verdict.as_json()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 3])
def test_i9_revision_can_always_be_drafted_if_need_be_empty(seed: int, tmp_path: Path) -> None:
    """A claim of the revision may itself disclose something of an earlier publication; hiding alone would not help then."""
    press = Press(Cohort(seed, 300, agencies=4, local=False), tmp_path)
    press.publish(QUARTER)
    press.cohort.gone.add(min(row.person for row in press.cohort.asked(QUARTER) if row.family == "F2"))
    press.publish(QUARTER, revises=QUARTER)
    assert press.verdict().safe


@pytest.mark.parametrize(("left", "tells"), [(0, False), (1, True), (9, True), (60, False)])
def test_i9_changed_number_is_refused_unless_many_left(tmp_path: Path, left: int, tells: bool) -> None:
    """It would tell where those few count who left."""
    press = Press(Cohort(1, 300, agencies=4, local=False), tmp_path)
    before = press.draft(QUARTER)
    press.known.append(before)
    press.cohort.gone.update(sorted({row.person for row in press.cohort.asked(QUARTER) if row.family == "F8"})[:left])
    assert press.draft(QUARTER, revises=QUARTER).reveals_few_changes(before.shown(), before.persons()) is tells


@pytest.fixture
def corpus(tmp_path: Path) -> Press:
    """Return a cohort on which every part of the protection has something to do."""
    return Press(Cohort(1, 300, agencies=4, local=False, dominant=0.3), tmp_path)


class WithoutDifferences(Case):
    """A system without differences: what a protector sees that checks hidden cells only."""

    @property
    def system(self) -> System:
        found = super().system
        return replace(found, groups=tuple(group for group in found.groups if not group.inner))


def outsiders(draft: Draft, *earlier: Draft) -> Draft:
    """Return a draft protected against outsiders only."""
    persons = {name: size for one in (draft, *earlier) for name, size in one.persons().items()}
    return secondary_suppression.suppress_further(
        draft, [one.shown() for one in earlier], secondary_suppression.InsiderKnowledge(persons), quietly
    )


def test_i6_protector_without_secondary_suppression_is_caught(corpus: Press) -> None:
    assert not attack_all([corpus.draft(QUARTER).shown()], quietly).safe
    assert attack_all([outsiders(corpus.draft(QUARTER)).shown()], quietly).safe


def test_i6_protector_that_forgets_differences_is_caught(corpus: Press, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secondary_suppression, "Case", WithoutDifferences)
    assert not attack_all([outsiders(corpus.draft(QUARTER)).shown()], quietly).safe


@pytest.mark.slow
def test_i6_protector_that_forgets_the_agencies_is_caught(corpus: Press) -> None:
    draft = outsiders(corpus.draft(QUARTER))
    insiders = corpus.insider_knowledge([draft]).insiders
    assert not attack_all([draft.shown()], quietly, insiders).safe
    assert attack_all([corpus.publish(QUARTER).shown()], quietly, insiders).safe


def test_i6_protector_that_forgets_earlier_tables_is_caught(corpus: Press) -> None:
    first = outsiders(corpus.draft(QUARTER))
    corpus.known.append(first)
    there = sorted({row.person for row in corpus.cohort.asked(QUARTER)})
    corpus.cohort.gone.update({there[0], there[6]})
    again = corpus.draft(QUARTER, revises=QUARTER)
    assert attack_all([outsiders(again).shown()], quietly).doubt is None
    assert not attack_all([first.shown(), outsiders(again).shown()], quietly).safe
    assert attack_all([first.shown(), outsiders(again, first).shown()], quietly).safe


def test_i7_files_rebuilt_in_any_order_are_equal_to_the_byte(corpus: Press) -> None:
    shown = corpus.draft(QUARTER).shown()
    dice = Random(1)  # noqa: S311
    first = files.tables(shown)
    for _ in range(5):
        mixed = {name: dict(dice.sample(list(cells.items()), len(cells))) for name, cells in shown.tables.items()}
        names = dice.sample(list(mixed), len(mixed))
        again = files.tables(replace(shown, tables={name: mixed[name] for name in names}))
        assert again == first
        assert files.digest(files.head(shown, again), again) == files.digest(files.head(shown, first), first)


@pytest.mark.parametrize(("tables_after", "rounds"), [(0, 0), (0, 100)])
def test_suppression_ends_when_single_cells_do_not_help(
    tables_after: int, rounds: int, corpus: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hiding everything is safe."""
    monkeypatch.setattr(secondary_suppression, "TABLE_ROUNDS", tables_after)
    monkeypatch.setattr(secondary_suppression, "ROUNDS", rounds)
    done = corpus.publish(QUARTER)
    assert corpus.verdict().safe
    assert share(done) < share(corpus.draft(QUARTER))
    assert (share(done) == 0) == (rounds == 0)
