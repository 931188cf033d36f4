"""The attacker finds what can be found, clears what is safe, and treats every doubt as a failure."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from services.auditor import published
from services.auditor.attack import Attack
from services.auditor.audit import Verdict, attack_all, audit
from services.auditor.engines import ENGINES, Highs
from services.auditor.insiders import Insider
from services.auditor.published import Doubt, Publication, read_all
from services.auditor.relations import relations
from services.auditor.system import build
from services.reporting.publication import files
from tests.support.publishing import quietly, write

KNOWN = relations(1, 1)
Key = tuple[str, ...]


def publication(shown: Mapping[tuple[str, Key], int], period: str = "2027", **more: object) -> Publication:
    """Return a publication in which only these cells are shown; cells about the same people show the same number."""
    kind = "quarter" if "-Q" in period else "year"
    numbers = {KNOWN.place[cell]: value for cell, value in shown.items()}
    tables = {
        table["id"]: {key: numbers.get(KNOWN.place[table["id"], key]) for key in published.product(table["cells"])}
        for table in published.plan(1)["tables"]
        if kind in table["periods"] and "switch" not in table
    }
    plain = Publication(period, 1, period, 1, 1, None, {}, frozenset(), tables, frozenset())
    return replace(plain, **more)  # type: ignore[arg-type]


def still(done: int, total: int) -> None:
    assert done <= total


def found(verdict: Verdict) -> set[str]:
    assert verdict.doubt is None
    return {finding.group.name for _, finding in verdict.found}


def name(*codes: str, period: str = "2027") -> str:
    return f"{period}:{'/'.join(codes)}"


F2 = ("need", ("F2",))
HOUSING = name("F2", "canada", "any", "asked", "asked", "asked", "asked")


def result(code: str) -> tuple[str, Key]:
    return ("need-result", ("F2", code))


def test_nothing_shown_tells_nothing() -> None:
    verdict = attack_all([publication({})], quietly)
    assert verdict.safe
    assert verdict.hidden > 300
    assert len(verdict.solvers) == 2


def test_i4_rest_of_a_total_is_found_by_both_solvers() -> None:
    """A hidden cell that is the rest of a shown total is found."""
    not_started = name("F2", "canada", "any", "not_started", "asked", "asked", "asked")
    verdict = attack_all([publication({F2: 100, result("in_time"): 45, result("late"): 45})], quietly)
    assert not_started not in found(verdict)
    verdict = attack_all([publication({F2: 100, result("in_time"): 40, result("late"): 40})], quietly)
    assert {who for who, finding in verdict.found if finding.group.name == not_started} == {
        engine.name for engine in ENGINES
    }
    # 96 at least, of whom 44 and 44 at most had help.
    assert {finding.reach[0] for _, finding in verdict.found if finding.group.name == not_started} == {8}


def test_i5_difference_of_two_shown_cells_is_attacked() -> None:
    """The difference is attacked though neither of its cells is hidden."""
    pair = {F2: 100, ("need-city", ("F2", "toronto")): 90}
    verdict = attack_all([publication(pair)], quietly)
    toronto = name("F2", "toronto", "any", "asked", "asked", "asked", "asked")
    assert f"{HOUSING} without {toronto}" in found(verdict)
    far = {F2: 100, ("need-city", ("F2", "toronto")): 60}
    assert f"{HOUSING} without {toronto}" not in found(attack_all([publication(far)], quietly))


def test_i5_difference_may_be_claimed_large() -> None:
    """Once the publisher claims that a difference is large, attackers know that too."""
    pair = {F2: 100, ("need-city", ("F2", "toronto")): 90}
    toronto = name("F2", "toronto", "any", "asked", "asked", "asked", "asked")
    claimed = publication(pair, certain=frozenset({(HOUSING, toronto)}))
    assert f"{HOUSING} without {toronto}" not in found(attack_all([claimed], quietly))
    lower = build([claimed])
    assert any(row.low == 10 for row in lower.rows)
    with pytest.raises(Doubt):
        build([publication(pair, certain=frozenset({(HOUSING,)}))])


def test_i5_rest_of_a_cell_without_several_parts_is_attacked() -> None:
    """The parts are all shown."""
    shown = {F2: 100, ("need-city", ("F2", "toronto")): 50, ("need-city", ("F2", "vancouver")): 30}
    groups = found(attack_all([publication(shown)], quietly))
    assert any(group.count(" without ") == 2 for group in groups)


@pytest.mark.slow
def test_year_and_its_quarters_are_attacked_together() -> None:
    quarters = [publication({F2: 20} if number < 4 else {}, f"2027-Q{number}", number=number) for number in range(1, 5)]
    drift = {quarter.id: 0 for quarter in quarters}
    year = publication({F2: 80}, number=5, drift=drift)
    last = name("F2", "canada", "any", "asked", "asked", "asked", "asked", period="2027-Q4")
    assert attack_all(quarters, quietly).safe
    assert last in found(attack_all([*quarters, year], quietly))
    modest = publication({F2: 30}, number=5, drift=drift)
    assert last not in found(attack_all([*quarters, modest], quietly))


@pytest.mark.slow
def test_revision_is_attacked_with_what_it_revises() -> None:
    first = publication({F2: 100})
    city = ("need-city", ("F2", "toronto"))
    again = publication({F2: 100, city: 10}, id="2027-r1", number=2, revises="2027", drift={"2027": 1})
    before = name("F2", "toronto", "any", "asked", "asked", "asked", "asked")
    assert attack_all([first], quietly).safe
    assert before in found(attack_all([first, again], quietly))


def test_contradicting_publications_are_a_doubt() -> None:
    """A contradiction is a doubt and not a pass."""
    shown = {F2: 50, ("need-city", ("F2", "toronto")): 70}
    verdict = attack_all([publication(shown)], quietly)
    assert not verdict.safe
    assert verdict.doubt


def test_number_against_the_rules_is_a_doubt() -> None:
    for value in (7, 5, 12):
        assert attack_all([publication({F2: value})], quietly).doubt


def test_one_group_shown_in_two_ways_is_a_doubt() -> None:
    made = publication({("need-city-result", ("F2", "montreal", "in_time")): 30})
    tables = {**made.tables, "need-macro-result": {**made.tables["need-macro-result"], ("F2", "quebec", "in_time"): 35}}
    assert attack_all([replace(made, tables=tables)], quietly).doubt


def test_solver_timeout_is_a_doubt() -> None:
    system = build([publication({F2: 100, result("in_time"): 40, result("late"): 40})])
    with pytest.raises(Doubt):
        Attack(system, Highs, 0.0).run((), still)


def test_missing_table_cell_or_certificate_is_a_doubt(tmp_path: Path) -> None:
    write(publication({}), tmp_path)
    assert read_all(tmp_path)
    table = tmp_path / "2027" / "tables" / "need.json"
    text = table.read_text()
    table.write_text(text.replace('"F2"', '"F99"'))
    seal(tmp_path / "2027")
    with pytest.raises(Doubt, match="every cell of need"):
        read_all(tmp_path)
    table.unlink()
    with pytest.raises(Doubt, match="lacks tables"):
        read_all(tmp_path)
    table.write_text(text)
    seal(tmp_path / "2027")
    assert read_all(tmp_path)
    (tmp_path / "2027" / "certificate.json").unlink()
    with pytest.raises(Doubt, match="cannot be read"):
        read_all(tmp_path)
    assert audit(tmp_path, quietly).doubt


def test_two_publications_of_one_number_are_a_doubt(tmp_path: Path) -> None:
    for period in ("2027-Q1", "2027"):
        write(publication({}, period), tmp_path)
    with pytest.raises(Doubt, match="the same number"):
        read_all(tmp_path)


def test_missing_table_or_unknown_plan_is_a_doubt(tmp_path: Path) -> None:
    write(publication({}), tmp_path)
    (tmp_path / "2027" / "tables" / "need.json").unlink()
    named = [f"tables/{path.name}" for path in (tmp_path / "2027" / "tables").glob("*.json")]
    seal(tmp_path / "2027", files=named)
    with pytest.raises(Doubt, match="the tables of its plan"):
        read_all(tmp_path)
    seal(tmp_path / "2027", plan=99)
    with pytest.raises(Doubt, match=r"no plans/99\.json"):
        read_all(tmp_path)


@pytest.mark.parametrize("value", [-5, 12.5, True, "", "10", None])
def test_impossible_number_of_people_is_a_doubt(value: object, tmp_path: Path) -> None:
    write(publication({}), tmp_path)
    table = tmp_path / "2027" / "tables" / "need.json"
    document = json.loads(table.read_bytes())
    document["rows"][0][-1] = value
    table.write_text(json.dumps(document))
    seal(tmp_path / "2027")
    with pytest.raises(Doubt, match="neither a number"):
        read_all(tmp_path)


def seal(folder: Path, **changed: object) -> None:
    """Write a certificate that fits the content of the folder, with some of its members changed."""
    head = json.loads((folder / "certificate.json").read_bytes())["publication"] | changed
    content = {f"tables/{path.name}": path.read_bytes() for path in (folder / "tables").iterdir()}
    (folder / "certificate.json").write_bytes(files.certificate(head, content))


@pytest.mark.parametrize("file", ["tables/need.json", "tables/need.csv", "tables/more.csv"])
def test_file_that_differs_from_its_certificate_is_a_doubt(file: str, tmp_path: Path) -> None:
    write(publication({}), tmp_path)
    with (tmp_path / "2027" / file).open("ab") as text:
        text.write(b"\n")
    with pytest.raises(Doubt, match=f"{file} is not the file"):
        read_all(tmp_path)


def test_changed_certificate_is_a_doubt(tmp_path: Path) -> None:
    """A changed certificate is a doubt; CSV files may be missing."""
    write(publication({}, drift={"2027-Q1": 5}), tmp_path)
    for path in (tmp_path / "2027" / "tables").glob("*.csv"):
        path.unlink()
    assert read_all(tmp_path)
    certificate = tmp_path / "2027" / "certificate.json"
    certificate.write_text(certificate.read_text().replace('"2027-Q1": 5', '"2027-Q1": 0'))
    with pytest.raises(Doubt, match="does not hold together"):
        read_all(tmp_path)


def test_empty_folder_is_a_doubt(tmp_path: Path) -> None:
    assert audit(tmp_path, quietly).doubt


def test_i11_agency_that_knows_nearly_a_whole_cell_attacks() -> None:
    """An agency that knows nearly everybody in a hidden cell is an attacker."""
    shown = {F2: 100, result("in_time"): 45, result("late"): 45}
    outside = attack_all([publication(shown)], quietly)
    not_started = name("F2", "canada", "any", "not_started", "asked", "asked", "asked")
    assert not_started not in found(outside)
    knows = Insider({not_started: 15, HOUSING: 40})
    assert not_started in found(attack_all([publication(shown)], quietly, [knows]))


def test_two_solvers_say_the_same_of_every_group() -> None:
    shown = {F2: 100, result("in_time"): 45, result("late"): 40, ("need-city", ("F2", "toronto")): 60}
    system = build([publication(shown)])
    verdicts = [
        {finding.group.name: finding.safe for finding in Attack(system, engine, 10.0).run((), still)}
        for engine in ENGINES
    ]
    assert verdicts[0] == verdicts[1]
    assert not all(verdicts[0].values())
