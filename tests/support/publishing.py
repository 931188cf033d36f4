"""Publishes period after period of a made-up cohort, as the workflow would, with all files in a folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from services.auditor.audit import Verdict, audit, sound
from services.auditor.published import Publication, read_all
from services.reporting.publication import files, insider_knowledge
from services.reporting.publication.drafts import Draft, begin, drift
from services.reporting.publication.secondary_suppression import InsiderKnowledge, suppress_further
from services.reporting.publication.true_counts import Count, TrueTable
from tests.support.cohorts import Asked, Cohort, tables

SECRET = b"a secret of tests only"
Moves = Mapping[str, Sequence[int]]


def quietly(stage: str, done: int, total: int) -> None:
    """Ignore progress in tests."""


@dataclass(slots=True)
class Press:
    """A cohort with all its publications. Before each period some people withdraw, and some come late."""

    cohort: Cohort
    folder: Path
    known: list[Draft] = field(default_factory=list)
    # The rows of each quarter that are known when it closes; the rest comes late.
    late: float = 0.0
    # How many of the largest agencies are attackers too; None: every one.
    agencies: int | None = None
    plan: int = 1

    def rows(self, period: str, now: int) -> list[Asked]:
        """Return the rows of a period known at a given step: late events of earlier quarters have come in by then."""
        quarters = [period] if "-Q" in period else [f"{period}-Q{number}" for number in range(1, 5)]
        rows = [row for quarter in quarters for row in self.cohort.asked(quarter)]
        late = {row.person for row in rows if row.person % 1000 < self.late * 1000}
        return rows if now > self.step(period) else [row for row in rows if row.person not in late]

    def step(self, period: str) -> int:
        """Return the step at which a period was published, or would be if it is the next."""
        return next((draft.number for draft in self.known if draft.id == period), len(self.known) + 1)

    def draft(self, period: str, revises: str | None = None) -> Draft:
        """Return the next publication with the primary rule alone."""
        number = len(self.known) + 1
        made = begin(
            (f"{period}-r1" if revises else period, number, period), (self.plan, 1), self.true(period, number), SECRET
        )
        return made.after(self._drifts(made), revises)

    def true(self, period: str, now: int) -> list[TrueTable]:
        """Return the true tables of a period at a given step."""
        return [
            table
            for table in tables(self.rows(period, now), period, self.plan)
            if table.table not in {"culture", "culture-result"}
        ]

    def publish(self, period: str, revises: str | None = None) -> Draft:
        """Protect, write and keep the next publication."""
        draft = self.draft(period, revises)
        near = [known for known in self.known if known.period[:4] == period[:4]]
        before = read_all(self.folder) if self.known else []
        before = [one for one in before if one.year == period[:4]]
        done = suppress_further(draft, before, self.insider_knowledge([*near, draft]), quietly)
        self.write(done)
        self.known.append(done)
        return done

    def write(self, draft: Draft) -> None:
        """Write the files of a publication, as they are downloaded."""
        write(draft.shown(), self.folder)

    def verdict(self) -> Verdict:
        """Return the auditor's verdict on everything published, as outsiders and as agencies, checked against the truth."""
        known = self.insider_knowledge(self.known)
        return sound(self.folder, known.persons, audit(self.folder, quietly, known.insiders))

    def insider_knowledge(self, drafts: Sequence[Draft]) -> InsiderKnowledge:
        """Return the hub's own knowledge of these publications."""
        truths = [insider_knowledge.truth(draft) for draft in drafts]
        insiders = insider_knowledge.insiders(truths)
        singles = sorted((one for one in insiders if not one.about), key=lambda one: -sum(one.own.values()))
        pairs = [one for one in insiders if one.about]
        return InsiderKnowledge(insider_knowledge.persons(truths), [*singles[: self.agencies], *pairs])

    def _drifts(self, draft: Draft) -> dict[str, int]:
        return {
            known.id: drift(
                known.persons(), replace(known, tables=by_name(self.true(known.period, draft.number))).persons()
            )
            for known in self.known
            if known.period[:4] == draft.period[:4]
            and (known.period == draft.period or ("-Q" in known.period) != ("-Q" in draft.period))
        }


def by_name(found: Sequence[TrueTable]) -> dict[str, Mapping[tuple[str, ...], Count]]:
    return {table.table: table.cells for table in found}


def write(publication: Publication, folder: Path) -> None:
    """Write a publication's files into a folder."""
    made = files.tables(publication)
    (folder / publication.id / "tables").mkdir(parents=True)
    sealed = files.certificate(files.head(publication, made), made)
    for name, content in {"certificate.json": sealed, **made}.items():
        (folder / publication.id / name).write_bytes(content)


def share(draft: Draft) -> float:
    """Return the share of a draft's cells that is shown."""
    values = [value for table in draft.shown().tables.values() for value in table.values()]
    return sum(value is not None for value in values) / len(values)
