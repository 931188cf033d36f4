"""The publication workflow: build, audit, two approvals, freeze. A failure changes nothing that is published."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection

from services.auditor import published
from services.auditor.audit import Verdict, audit, sound
from services.auditor.published import Doubt
from services.common.errors import Problem
from services.common.fiscal_periods import end_of, fiscal_quarter, quarters_of
from services.common.secret_files import secret
from services.reporting.context import Context
from services.reporting.publication import files, governance, insider_knowledge
from services.reporting.publication.drafts import Draft, begin, drift
from services.reporting.publication.secondary_suppression import suppress_further
from services.reporting.publication.tabulate import CountsDiffer, true_tables
from services.reporting.publication.true_counts import TrueTable
from services.reporting.store import counts
from services.reporting.store import publications as store

ROLES = ("survivor_council", "publisher")
PLAN, RULES = 1, 1
PERIOD = re.compile(r"20\d\d(-Q[1-4])?", re.ASCII)
Progress = Callable[[str, int, int], None]


def refuse(code: str, title: str) -> Problem:
    """Return the problem (409) that stops a publication."""
    return Problem(409, code, title)


def build(context: Context, keys: Path, period: str, progress: Progress, *, revision: bool = False) -> Any:
    """Build a draft of a period, protected as far as the attacker demands; it replaces any other draft."""
    with context.database.reading() as connection:
        rows = [row for row in store.list_all(connection) if row.state == "published"]
        number = len(rows) + 1
        open_ = governance.switched_on(connection, published.rules(RULES)["switches"])
        name = _may_begin(rows, period, context.clock.now().date(), revision=revision)
        if not counts.anybody(connection, quarters_of(period)[-1]):
            raise refuse("nobody-counted", f"Nobody was counted in {period} or before. There is nothing to publish.")
        # Read before anybody is counted: a survivor who withdraws from here on makes the draft void.
        left = counts.departures(connection, quarters_of(period))
    plan = _without_switched(published.plan(PLAN), open_)
    tables = _counted(context, plan, period, lambda done, total: progress("Counting", done, total))
    draft = begin((name, number, period), (PLAN, RULES), tables, secret(keys / f"rounding-{period[:4]}"))
    draft = draft.after(_drifts(context, draft, rows, plan), period if revision else None)
    earlier = [row for row in rows if row.period[:4] == period[:4]]
    known = insider_knowledge.of(draft, [row.truth for row in earlier])
    begun = sha256(
        files.as_bytes([insider_knowledge.truth(draft), draft.drift, [row.bundle for row in earlier]])
    ).hexdigest()

    def keep(step: Draft) -> None:
        with _exclusive(context) as connection:
            row = {"begun": begun, "hidden": sorted(step.hidden), "certain": sorted(map(list, step.certain))}
            store.keep_unfinished(connection, row)

    with TemporaryDirectory() as folder:
        _write_folder(context, Path(folder), earlier)
        before = _published_before(Path(folder)) if earlier else []
        try:
            draft = suppress_further(_resumed(context, draft, begun), before, known, progress, keep)
        except Doubt as doubt:
            stands = "Nothing changes: what is published stands."
            raise refuse("not-safe", f"{doubt} {stands} Coarsen: {_coarsen(doubt)}.") from doubt
    for row, one in zip(earlier, before, strict=True):
        if row.period == period and draft.reveals_few_changes(one, row.truth["persons"]):
            raise refuse("too-few-changes", "Few came or left since: a revision would tell where they count.")
    return _keep_draft(context, draft, left, [row.bundle for row in rows])


def tables_without_numbers(made: Any) -> list[str]:
    """Return the tables of a draft in which nothing is shown."""
    tables = {name: json.loads(content)["rows"] for name, content in made["files"].items() if name.endswith(".json")}
    return [Path(name).stem for name, rows in tables.items() if all(row[-1] == published.HIDDEN for row in rows)]


def quarters_passed_over(context: Context, made: Any) -> list[str]:
    """Return the quarters that can never be published once a draft is out: an earlier quarter cannot follow a later one."""
    with context.database.reading() as connection:
        out = [row.period for row in store.list_all(connection) if row.state == "published"]
        last = max(map(end_of, out), default=("", ""))
        return [each for each in counts.quarters(connection) if last < end_of(each) < end_of(made["period"])]


def check(context: Context, progress: Progress) -> Verdict:
    """Audit the draft as it would be published, with all that is out already, against outsiders and insiders."""
    with context.database.reading() as connection:
        rows = store.list_all(connection)
        draft = _current_draft(connection, rows)
    grown = any(row.head["plan"] < draft.head["plan"] for row in rows)
    members = [row for row in rows if grown or row.period[:4] == draft.period[:4]]
    with TemporaryDirectory() as folder:
        _write_folder(context, Path(folder), members)
        verdict = audit(Path(folder), progress, insider_knowledge.insiders([row.truth for row in members]))
        verdict = (
            verdict
            if verdict.doubt
            else sound(Path(folder), insider_knowledge.persons([row.truth for row in members]), verdict)
        )
    with _exclusive(context) as connection:
        if not store.keep_verdict(connection, draft, "audited" if verdict.safe else "refused", verdict.as_json()):
            raise refuse("changed", "The draft was built again while it was audited. Audit it again.")
    return verdict


def show(context: Context, switch: str, body: str, hand_over: Callable[[files.Files], object]) -> None:
    """Hand a governance body its tables of the audited draft, for its own copy; then record that it has seen them."""
    with context.database.reading() as connection:
        governance.must_govern(connection, switch, "seen", body)
        draft = _audited(connection)
        content = store.files(connection, draft.id)
    tables = [table["id"] for table in published.plan(draft.head["plan"])["tables"] if table.get("switch") == switch]
    own = {name: data for name, data in content.items() if Path(name).stem in tables}
    if not own:
        raise refuse("switch-off", "The draft has nothing that this switch is about.")
    hand_over(own)
    governance.decide(context, switch, "seen", body, draft.bundle)


def approve(context: Context, role: str, name: str) -> Any:
    """Record one person's approval of the audited draft."""
    name = governance.named("name", name)
    with _exclusive(context) as connection:
        draft = _audited(connection)
        given = store.approvals(connection, draft.id, draft.bundle)
        if any(_same_name(row.name, name) for row in given):
            raise refuse("same-person", "Two different people must approve a publication.")
        row = {"publication": draft.id, "role": role, "bundle": draft.bundle, "name": name}
        if not store.keep_approval(connection, {**row, "at": context.clock.now()}):
            raise refuse("approved-already", "Somebody has given that word for this draft already.")
    return draft


def publish(context: Context) -> Any:
    """Freeze the draft, if both roles approved these bytes and no governance body objects."""
    now = context.clock.now()
    with _exclusive(context) as connection:
        draft = _audited(connection)
        content = store.files(connection, draft.id)
        if files.digest(draft.head, content) != draft.bundle:
            raise refuse("changed", "The draft is not what was audited. Build it again.")
        given = store.approvals(connection, draft.id, draft.bundle)
        if {row.role for row in given} != set(ROLES):
            missing = ", ".join(sorted(set(ROLES) - {row.role for row in given}))
            raise refuse("not-approved", f"These words are missing: {missing}.")
        governance.must_agree(connection, draft, _switched(published.plan(draft.head["plan"]), content))
        approvals = [{"role": row.role, "name": row.name, "at": row.at.isoformat()} for row in given]
        sealed = files.certificate(
            draft.head, content, audit=draft.verdict, approvals=approvals, published_at=now.isoformat()
        )
        store.freeze(connection, draft.id, sealed, now)
    return draft


@contextmanager
def _exclusive(context: Context) -> Iterator[Connection]:
    """Open a transaction during which nobody else drafts, approves or publishes: an approval is for what was seen."""
    with context.database.transaction() as connection:
        store.lock_publications(connection)
        yield connection


def _resumed(context: Context, draft: Draft, begun: str) -> Draft:
    """Return the draft as an interrupted build left it, if nothing that it depends on has changed since."""
    with context.database.reading() as connection:
        step = store.find_unfinished(connection, begun)
    if step is None:
        return draft
    return replace(draft, hidden=frozenset(step.hidden), certain=frozenset(map(tuple, step.certain)))


def _may_begin(rows: Sequence[Any], period: str, today: date, *, revision: bool) -> str:
    """Return the name of the publication that may be begun now; raise a problem if none may."""
    rules = published.rules(RULES)
    if not PERIOD.fullmatch(period):
        raise refuse("no-period", "A period is a fiscal quarter such as 2026-Q1, or a fiscal year such as 2026.")
    if quarters_of(period)[-1] >= fiscal_quarter(today - timedelta(days=rules["close_days"])):
        raise refuse("open-period", f"{period} closes {rules['close_days']} days after its end.")
    out = [row for row in rows if row.head["revises"] is None]
    if revision:
        revisions = [row for row in rows if row.head["revises"] and row.period[:4] == period[:4]]
        if period not in {row.id for row in out}:
            raise refuse("nothing-to-revise", f"{period} is not published.")
        if len(revisions) >= rules["revisions_per_year"]:
            raise refuse("revised-already", f"{period[:4]} was revised already.")
        return f"{period}-r{len(revisions) + 1}"
    if any(end_of(row.period) >= end_of(period) for row in out):
        raise refuse("too-late", f"{period} or something later is published already.")
    return period


def _without_switched(plan: Mapping[str, Any], open_: frozenset[str]) -> Mapping[str, Any]:
    tables = [table for table in plan["tables"] if table.get("switch") in {None, *open_}]
    return {**plan, "tables": tables}


def _switched(plan: Mapping[str, Any], content: Mapping[str, bytes]) -> frozenset[str]:
    return frozenset(
        table["switch"] for table in plan["tables"] if "switch" in table and f"tables/{table['id']}.json" in content
    )


def _drifts(context: Context, draft: Draft, rows: Sequence[Any], plan: Mapping[str, Any]) -> dict[str, int]:
    """Return by how much each earlier publication that is linked to the draft has changed since it came out."""
    found = {}
    for row in rows:
        meets = row.period == draft.period or ("-Q" in row.period) != ("-Q" in draft.period)
        if row.period[:4] == draft.period[:4] and meets:
            tables = _counted(context, plan, row.period, lambda _done, _total: None)
            now = begin((row.id, row.number, row.period), (draft.plan, draft.rules), tables, b"").persons()
            found[row.id] = drift({name: size for name, size in row.truth["persons"].items() if name in now}, now)
    return found


def _counted(
    context: Context, plan: Mapping[str, Any], period: str, progress: Callable[[int, int], None]
) -> list[TrueTable]:
    try:
        return true_tables(context, plan, period, progress)
    except CountsDiffer as differ:
        helps = "Run `fireweed publication rebuild`, then build again."
        raise refuse("books-differ", f"What is counted is not what the journal says. {helps}") from differ


def _published_before(folder: Path) -> list[published.Publication]:
    """Return the earlier publications as anybody can download them; raise a problem if one is damaged."""
    try:
        return published.read_all(folder)
    except Doubt as doubt:
        helps = "Bring the database's newest copy back, as deploy/README.md says."
        raise refuse("damaged", f"What is published is damaged: {doubt} {helps}") from doubt


def _keep_draft(context: Context, draft: Draft, left: Mapping[str, int], out: Sequence[str]) -> Any:
    """Keep a draft, if `out` is still all that is published."""
    shown = draft.shown()
    made = files.tables(shown)
    head = files.head(shown, made)
    row = {
        **{name: head[name] for name in ("id", "number", "period")},
        "state": "drafted",
        "head": head,
        "bundle": files.digest(head, made),
        "truth": {**insider_knowledge.truth(draft), "left": left},
        "built_at": context.clock.now(),
    }
    with _exclusive(context) as connection:
        if [bundle for _, bundle in store.standing(connection)] != out:
            raise refuse("changed", "Something was published while this was built. Build it again.")
        store.keep_draft(connection, row, made)
    return {**row, "files": made}


def _write_folder(context: Context, folder: Path, rows: Sequence[Any]) -> None:
    """Write the files that anybody could download, and the draft as if it were published."""
    with context.database.reading() as connection:
        for row in rows:
            content = store.files(connection, row.id)
            (folder / row.id / "tables").mkdir(parents=True)
            for file, data in {"certificate.json": files.certificate(row.head, content), **content}.items():
                (folder / row.id / file).write_bytes(data)


def _current_draft(connection: Connection, rows: Sequence[Any]) -> Any:
    """Return the draft; raise a problem if somebody who is in it has withdrawn."""
    drafts = [row for row in rows if row.state != "published"]
    if not drafts:
        raise refuse("no-draft", "There is no draft. Build one: fireweed publication build PERIOD.")
    [draft] = drafts
    if counts.departures(connection, quarters_of(draft.period)) != draft.truth.get("left"):
        raise refuse("somebody-left", "Somebody who is counted in the draft has withdrawn since. Build it again.")
    return draft


def _audited(connection: Connection) -> Any:
    draft = _current_draft(connection, store.list_all(connection))
    if draft.state != "audited":
        raise refuse("not-audited", "The draft has not passed its audit. Run: fireweed publication audit --draft.")
    return draft


def _same_name(one: str, other: str) -> bool:
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()


def _coarsen(doubt: Doubt) -> str:
    """Return the cell that a doubt is about, without the period."""
    return str(doubt).partition(":")[2].partition(" ")[0] or "the plan's finest tables"
