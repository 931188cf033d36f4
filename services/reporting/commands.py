"""Commands about publications: `fireweed publication build|audit|approve|publish|list|govern`, and `rebuild`."""

import sys
from pathlib import Path
from typing import Any

import click

from services.auditor import published
from services.auditor.audit import Verdict
from services.auditor.audit import audit as audit_folder
from services.common.cli import answer, hub_options, of_hub, progress, refuse_without_hub
from services.common.settings import Settings
from services.reporting import handlers
from services.reporting.main import NAME, build_context
from services.reporting.publication import governance, workflow
from services.reporting.publication.files import Files
from services.reporting.store import publications as store

# At most so many cells are named.
FEW = 5


class Steps:
    """Shows the progress of work in several stages, each with a name."""

    def __init__(self) -> None:
        self._stage = ""
        self._show = progress("")

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage has come."""
        if stage != self._stage:
            self._stage, self._show = stage, progress(stage)
        self._show(done, total)


@click.group()
def publication() -> None:
    """Publications: protected, audited tables of how many survivors asked for what, and what came of it."""


@publication.command()
@click.argument("period")
@click.option("--revision", is_flag=True, help="Revise what is published of this period; once a year at most.")
@hub_options
@of_hub(NAME)
def build(settings: Settings, as_json: bool, period: str, revision: bool) -> None:
    """Make a draft of a fiscal quarter (2026-Q1) or year (2026), with as much hidden as it takes."""
    context = build_context(settings)
    made = workflow.build(context, settings.keys_folder / NAME, period, Steps(), revision=revision)
    silent, passed = workflow.tables_without_numbers(made), workflow.quarters_passed_over(context, made)
    told = {"id": made["id"], "bundle": made["bundle"], "tables": made["head"]["files"], "nothing_shown_in": silent}
    told["passed_over"] = passed
    notes = [f"Nothing can be shown in {', '.join(silent)}: a coarser plan would tell more."] if silent else []
    notes += [f"Once this is published, {', '.join(passed)} can never be: build that first."] if passed else []
    answer(told, as_json, lambda: [*notes, f"{made['id']} is drafted. Next: fireweed publication audit --draft"])


@publication.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--draft", is_flag=True, help="Audit the hub's draft instead, also as each agency would see it.")
@hub_options
def audit(settings: Settings, as_json: bool, folder: Path | None, draft: bool) -> None:
    """Attack downloaded publications, and nothing else: FOLDER/ID/certificate.json and FOLDER/ID/tables/*.json.

    The status is 1 if anybody could be found, or if that could not be ruled out.
    """
    if draft == (folder is not None):
        raise click.UsageError("Name a folder of downloaded publications, or say --draft.")
    if draft:
        refuse_without_hub(settings, [NAME])
    verdict = audit_folder(folder, Steps()) if folder else workflow.check(build_context(settings), Steps())
    answer(verdict.as_json(), as_json, lambda: [*_verdict_text(verdict), *(_advice(verdict) if draft else [])])
    sys.exit(0 if verdict.safe else 1)


@publication.command()
@click.option("--role", required=True, type=click.Choice(workflow.ROLES), help="As whom you speak.")
@click.option("--name", required=True, help="Your name, as the certificate will show it.")
@hub_options
@of_hub(NAME)
def approve(settings: Settings, as_json: bool, role: str, name: str) -> None:
    """Give your word for the audited draft. It takes two people, one of them the survivor council's delegate."""
    draft = workflow.approve(build_context(settings), role, name)
    told = {"id": draft.id, "bundle": draft.bundle, "role": role}
    answer(told, as_json, lambda: [f"{name} approves {draft.id} ({draft.bundle[:16]})."])


@publication.command()
@hub_options
@of_hub(NAME)
def publish(settings: Settings, as_json: bool) -> None:
    """Freeze the approved draft: from then on its bytes never change."""
    draft = workflow.publish(build_context(settings))
    answer({"id": draft.id, "bundle": draft.bundle}, as_json, lambda: [f"{draft.id} is published for good."])


@publication.command("list")
@hub_options
@of_hub(NAME)
def list_(settings: Settings, as_json: bool) -> None:
    """List every publication, and the draft if there is one."""
    context = build_context(settings)
    with context.database.reading() as connection:
        rows = [{"id": row.id, "state": row.state, "bundle": row.bundle} for row in store.list_all(connection)]
    answer(rows, as_json, lambda: [f"{row['id']:12} {row['state']:10} {row['bundle'][:16]}" for row in rows])


@publication.command()
@click.argument("switch", type=click.Choice(sorted(published.rules(workflow.RULES)["switches"])))
@click.argument("word", type=click.Choice(governance.DECISIONS))
@click.option("--body", required=True, help="The governance body that speaks, by its name.")
@click.option("--to", "folder", type=click.Path(path_type=Path), help="With seen: where the body's own copy goes.")
@hub_options
@of_hub(NAME)
def govern(settings: Settings, as_json: bool, switch: str, word: str, body: str, folder: Path | None) -> None:
    """Record what a governance body decides: on, off, seen (it has its copy of the draft) or veto."""
    context = build_context(settings)
    copied: list[str] = []
    if word == "seen":
        if folder is None:
            raise click.UsageError("Say where the body's own copy goes: --to FOLDER.")
        workflow.show(context, switch, body, lambda own: copied.extend(_copy(own, folder)))
    else:
        governance.decide(context, switch, word, body)
    answer(
        {"switch": switch, "word": word, "body": body, "files": copied}, as_json, lambda: [f"{body}: {word}.", *copied]
    )


@publication.command()
@hub_options
@of_hub(NAME)
def rebuild(settings: Settings, as_json: bool) -> None:
    """Make everything that is counted anew from the journal; run it again to go on where it was interrupted."""
    context = build_context(settings)
    read = handlers.rebuild(context, progress("Threads read"))
    context.database.close()
    answer({"threads": read}, as_json, lambda: [f"{read} threads were counted anew."])


def _copy(own: Files, folder: Path) -> list[str]:
    for name, content in own.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return [str(folder / name) for name in own]


def _verdict_text(verdict: Verdict) -> list[str]:
    if verdict.doubt:
        return [f"Not safe, since it cannot be told: {verdict.doubt}"]
    told = [_finding_text(who, finding) for who, finding in verdict.found]
    groups = f"{verdict.hidden} hidden cells and {verdict.differences} differences"
    summary = f"{groups} in {len(verdict.publications)} publications"
    solvers = " and ".join(verdict.solvers)
    if verdict.safe:
        return [
            f"Safe: {summary} were attacked with {solvers}, and as {verdict.insiders} agencies. Nobody can be found."
        ]
    return [*told, f"Not safe: {len(told)} findings among {summary}."]


def _advice(verdict: Verdict) -> list[str]:
    """Return advice about a draft that is not safe."""
    cells = sorted({finding.group.name.partition(" without ")[0].partition(":")[2] for _, finding in verdict.found})
    coarsen = [f"Coarsen, or leave out of the plan: {', '.join(cells[:FEW])}"] if cells else []
    return [] if verdict.safe else ["Nothing changes: what is published stands.", *coarsen]


def _finding_text(who: str, finding: Any) -> str:
    low, high = finding.reach
    return f"{finding.group.name}: {low} to {high}, found with {who}"
