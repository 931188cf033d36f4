"""The publication workflow: only frozen bytes that passed the audit and two approvals are published."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import delete, text
from starlette.testclient import TestClient

from services.auditor import published
from services.auditor.audit import audit
from services.common.errors import Problem
from services.common.http.app import create_app
from services.reporting import api
from services.reporting.context import Context
from services.reporting.models import approval, decision
from services.reporting.page_data import DatabaseSource
from services.reporting.pages.catalogue import Holdings
from services.reporting.publication import governance, workflow
from services.reporting.publication.drafts import Draft
from services.reporting.publication.secondary_suppression import suppress_further
from services.reporting.store import publications as store
from tests.support.clocks import StillClock
from tests.support.counted import AGENCIES, Asked, CountingContext, events_of, withdrawal
from tests.support.publishing import quietly
from tests.support.server import served

CLOSED = datetime(2027, 7, 1, 12, tzinfo=UTC)
BODY = "Sample Circle of Cedar"
STATES = ("requested", "accepted", "started")


@pytest.fixture
def context(counting: CountingContext) -> Context:
    """Return a hub where a hundred people asked for housing and sixty for health care, and a third got no help."""
    counting.empty()
    people = [
        Asked(
            who,
            "N02" if who <= 100 else "N12",
            "toronto" if who <= 100 else "vancouver",
            ("crisis", "acute")[who % 2],
            AGENCIES[who % 4],
            AGENCIES[(who + 1) % 4],
            date(2026, 4, 1),
            STATES if who % 3 else STATES[:1],
        )
        for who in range(1, 161)
    ]
    counting.take(events_of(people))
    return replace(counting.context, clock=StillClock(CLOSED))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def approved(context: Context) -> None:
    assert workflow.check(context, quietly).safe
    workflow.approve(context, "survivor_council", "Sample Aspen")
    workflow.approve(context, "publisher", "Sample Birch")


def released(context: Context, keys: Path, period: str) -> None:
    workflow.build(context, keys, period, quietly)
    approved(context)
    workflow.publish(context)


@pytest.fixture
def web(context: Context) -> Iterator[TestClient]:
    with TestClient(public(context)) as client:
        yield client


def public(context: Context) -> FastAPI:
    """Return the public pages and files of a hub."""
    return create_app("test", "test", [api.routes], holdings=Holdings(DatabaseSource(context.database)))


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(Problem) as told:
        act()
    return told.value.code


def test_publishing_needs_an_audit_and_two_people(context: Context, keys: Path) -> None:
    assert refused(lambda: workflow.publish(context)) == "no-draft"
    workflow.build(context, keys, "2026-Q1", quietly)
    assert refused(lambda: workflow.publish(context)) == "not-audited"
    assert refused(lambda: workflow.approve(context, "publisher", "Sample Birch")) == "not-audited"
    assert workflow.check(context, quietly).safe
    assert refused(lambda: workflow.publish(context)) == "not-approved"
    workflow.approve(context, "publisher", "Sample Birch")
    assert refused(lambda: workflow.approve(context, "survivor_council", " sample  BIRCH ")) == "same-person"
    assert refused(lambda: workflow.approve(context, "publisher", "Sample Cedar")) == "approved-already"
    assert refused(lambda: workflow.publish(context)) == "not-approved"
    workflow.approve(context, "survivor_council", "Sample Aspen")
    workflow.publish(context)


def test_draft_names_the_tables_without_numbers(context: Context, keys: Path) -> None:
    made = workflow.build(context, keys, "2026-Q1", quietly)
    told = workflow.tables_without_numbers(made)
    assert "need" not in told
    assert set(told) == {
        Path(name).stem
        for name, data in made["files"].items()
        if name.endswith(".csv") and {row.rpartition(b",")[2] for row in data.splitlines()[1:]} == {b"x"}
    }


@pytest.mark.slow
def test_draft_names_the_quarters_it_would_pass_over(context: Context, keys: Path) -> None:
    assert workflow.quarters_passed_over(context, workflow.build(context, keys, "2026-Q1", quietly)) == []
    assert workflow.quarters_passed_over(context, workflow.build(context, keys, "2026-Q2", quietly)) == ["2026-Q1"]
    released(context, keys, "2026-Q1")
    assert workflow.quarters_passed_over(context, workflow.build(context, keys, "2026-Q2", quietly)) == []
    released(context, keys, "2026-Q2")
    assert refused(lambda: workflow.build(context, keys, "2026-Q1", quietly)) == "too-late"


def test_approvals_of_one_draft_do_not_hold_for_another(context: Context, keys: Path) -> None:
    workflow.build(context, keys, "2026-Q1", quietly)
    approved(context)
    workflow.build(context, keys, "2026-Q2", quietly)
    assert workflow.check(context, quietly).safe
    assert refused(lambda: workflow.publish(context)) == "not-approved"


def test_draft_built_during_an_audit_has_passed_nothing(
    context: Context, keys: Path, counting: CountingContext
) -> None:
    audited = workflow.build(context, keys, "2026-Q1", quietly)
    made: list[Any] = []

    def build_again(_stage: str, _done: int, _total: int) -> None:
        if not made:
            made.append(None)
            counting.take([withdrawal(1, *range(1, 40))])
            made[0] = workflow.build(context, keys, "2026-Q1", quietly)

    assert refused(lambda: workflow.check(context, build_again)) == "changed"
    assert made[0]["bundle"] != audited["bundle"]
    assert refused(lambda: workflow.approve(context, "publisher", "Sample Birch")) == "not-audited"
    assert refused(lambda: workflow.publish(context)) == "not-audited"


def test_one_person_approving_twice_at_once_counts_once(context: Context, keys: Path) -> None:
    workflow.build(context, keys, "2026-Q1", quietly)
    assert workflow.check(context, quietly).safe
    ready = threading.Barrier(2)

    def speak(role: str) -> bool:
        ready.wait(20)
        with suppress(Problem):
            workflow.approve(context, role, "Sample Birch")
            return True
        return False

    for _ in range(10):
        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(speak, workflow.ROLES)) == [False, True]
        with context.database.transaction() as connection:
            connection.execute(delete(approval))


@pytest.mark.parametrize("name", ["", " \t ", "\u200b", "x" * 121])
def test_name_of_nobody_is_refused(context: Context, keys: Path, name: str) -> None:
    workflow.build(context, keys, "2026-Q1", quietly)
    assert workflow.check(context, quietly).safe
    assert refused(lambda: workflow.approve(context, "publisher", name)) == "invalid-request"
    assert refused(lambda: governance.decide(context, "indigenous", "on", name)) == "invalid-request"


def test_i7_published_bytes_never_change(context: Context, keys: Path, web: TestClient, tmp_path: Path) -> None:
    """Their certificate names them."""
    released(context, keys, "2026-Q1")
    first = {path: web.get(f"/reporting/v1/publications/2026-Q1/{path}").content for path in paths(web)}
    assert refused(lambda: workflow.build(context, keys, "2026-Q1", quietly)) == "too-late"
    workflow.build(context, keys, "2026-Q2", quietly)
    assert {path: web.get(f"/reporting/v1/publications/2026-Q1/{path}").content for path in paths(web)} == first
    certificate = json.loads(first["certificate.json"])
    assert certificate["audit"]["safe"]
    assert {word["role"]: word["name"] for word in certificate["approvals"]} == {
        "survivor_council": "Sample Aspen",
        "publisher": "Sample Birch",
    }
    [listed] = web.get("/reporting/v1/publications").json()["publications"]
    assert listed["bundle"] == certificate["bundle"]
    # What anybody can download is all that the auditor needs.
    for path, content in first.items():
        file = tmp_path / "downloaded" / "2026-Q1" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    assert audit(tmp_path / "downloaded", quietly).safe


def test_i15_downloaded_files_are_verified_offline(context: Context, keys: Path, tmp_path: Path) -> None:
    """Nothing but the files and the program is needed."""
    released(context, keys, "2026-Q1")
    folder = tmp_path / "downloaded"
    with served(public(context)) as origin:
        download(f"{origin}/reporting/v1/publications", folder)
    there = sorted(folder.rglob("*"))
    told = offline_audit(folder)
    assert (told.returncode, told.stdout.startswith("Safe: ")) == (0, True), told.stderr
    assert "found" not in told.stderr.lower()
    # It needed no hub, and made none.
    assert sorted(folder.rglob("*")) == there
    table = folder / "2026-Q1" / "tables" / "need.json"
    table.write_bytes(table.read_bytes().replace(b'"x"', b"15", 1))
    assert offline_audit(folder).returncode == 1


def download(address: str, folder: Path) -> None:
    """Download everything that a hub has published."""
    for listed in httpx2.get(address).json()["publications"]:
        for path in ("certificate.json", *listed["files"]):
            file = folder / listed["id"] / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(httpx2.get(f"{address}/{listed['id']}/{path}").content)


def offline_audit(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as somebody who has the files and the program only."""
    command = [sys.executable, "-m", "services.cli", "publication", "audit", "."]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_interrupted_build_resumes_and_ends_safe(context: Context, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Draft] = []

    def interrupted(draft: Draft, published: Any, known: Any, progress: Any, keep: Callable[[Draft], None]) -> Draft:
        def and_stop(step: Draft) -> None:
            keep(step)
            raise KeyboardInterrupt

        steps.append(draft)
        return suppress_further(draft, published, known, progress, and_stop)

    monkeypatch.setattr(workflow, "suppress_further", interrupted)
    for _ in range(50):
        with suppress(KeyboardInterrupt):
            workflow.build(context, keys, "2026-Q1", quietly)
            break
    assert workflow.check(context, quietly).safe
    # Each began with more than the one before.
    said = [(len(step.hidden), len(step.certain)) for step in steps]
    assert len(said) > 1
    assert len(set(said)) == len(said)
    assert said[0] == (0, 0)
    # A finished build is not resumed: the next one begins anew.
    with suppress(KeyboardInterrupt):
        workflow.build(context, keys, "2026-Q1", quietly)
    assert (len(steps[len(said)].hidden), len(steps[len(said)].certain)) == (0, 0)


def test_interrupted_build_restarts_if_anybody_came_or_left(
    context: Context, keys: Path, counting: CountingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(draft: Draft, *rest: Any) -> Draft:
        rest[-1](draft.hiding(frozenset({0})))
        raise KeyboardInterrupt

    def seen(draft: Draft, *rest: Any) -> Draft:
        begun.append(len(draft.hidden))
        return suppress_further(draft, *rest)

    begun: list[int] = []
    monkeypatch.setattr(workflow, "suppress_further", stopped)
    with pytest.raises(KeyboardInterrupt):
        workflow.build(context, keys, "2026-Q1", quietly)
    counting.take([withdrawal(1, 1)])
    monkeypatch.setattr(workflow, "suppress_further", seen)
    workflow.build(context, keys, "2026-Q1", quietly)
    assert begun == [0]


def test_i16_grown_plan_is_audited_with_all_that_is_published(
    context: Context, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released(context, keys, "2026-Q1")
    late = replace(context, clock=StillClock(datetime(2027, 9, 1, 12, tzinfo=UTC)))
    workflow.build(late, keys, "2027-Q1", quietly)
    assert workflow.check(late, quietly).publications == ("2027-Q1",)
    public = published._public

    def with_more(folder: str, version: int) -> Mapping[str, Any]:
        plan = public(folder, 1)
        more = {"id": "need-stage", "periods": ["quarter"], "cells": {"family": ["F2"], "stage": ["crisis", "acute"]}}
        grown = {**plan, "version": 2, "tables": [*plan["tables"], {**plan["tables"][0], **more}]}
        return grown if (folder, version) == ("plans", 2) else public(folder, version)

    monkeypatch.setattr(published, "_public", with_more)
    monkeypatch.setattr(workflow, "PLAN", 2)
    made = workflow.build(late, keys, "2027-Q1", quietly)
    assert "tables/need-stage.json" in made["files"]
    verdict = workflow.check(late, quietly)
    assert verdict.publications == ("2026-Q1", "2027-Q1")
    assert verdict.safe, verdict.as_json()


def paths(web: TestClient) -> list[str]:
    [listed] = web.get("/reporting/v1/publications").json()["publications"]
    return ["certificate.json", *listed["files"], *(name.replace(".json", ".csv") for name in listed["files"])]


def test_hidden_cells_have_one_sign_in_both_kinds_of_file(context: Context, keys: Path, web: TestClient) -> None:
    """JSON and CSV say the same."""
    released(context, keys, "2026-Q1")
    values = []
    for path in paths(web)[1:]:
        answer = web.get(f"/reporting/v1/publications/2026-Q1/{path}")
        if path.endswith(".json"):
            rows = answer.json()["rows"]
            values += [row[-1] for row in rows]
            other = web.get(f"/reporting/v1/publications/2026-Q1/{path.replace('.json', '.csv')}")
            assert other.text.splitlines()[1:] == [",".join(map(str, row)) for row in rows]
            assert other.headers["content-type"].startswith("text/csv")
    shown = [value for value in values if value != "x"]
    assert shown
    assert all(value >= 10 and value % 5 == 0 for value in shown)


def test_files_changed_after_the_audit_are_not_published(context: Context, keys: Path) -> None:
    workflow.build(context, keys, "2026-Q1", quietly)
    approved(context)
    with context.database.transaction() as connection:
        [row] = store.list_all(connection)
        changed = {**store.files(connection, "2026-Q1"), "tables/need.csv": b"family,value\r\nF2,3\r\n"}
        kept = {column: getattr(row, column) for column in row._fields}
        store.keep_draft(connection, kept, changed)
    assert refused(lambda: workflow.publish(context)) == "changed"


def test_failed_audit_leaves_published_tables_unchanged(context: Context, keys: Path, web: TestClient) -> None:
    released(context, keys, "2026-Q1")
    workflow.build(context, keys, "2026-Q2", quietly)
    with context.database.transaction() as connection:
        row = store.list_all(connection)[-1]
        content = store.files(connection, "2026-Q2")
        need = content["tables/need.json"].replace(b'"x"', b"7", 1)
        kept = {column: getattr(row, column) for column in row._fields}
        store.keep_draft(connection, kept, {**content, "tables/need.json": need})
    verdict = workflow.check(context, quietly)
    assert not verdict.safe
    assert verdict.doubt
    assert refused(lambda: workflow.approve(context, "publisher", "Sample Birch")) == "not-audited"
    assert [row["id"] for row in web.get("/reporting/v1/publications").json()["publications"]] == ["2026-Q1"]


def test_period_closes_sixty_days_after_its_end(context: Context, keys: Path) -> None:
    early = replace(context, clock=StillClock(datetime(2026, 8, 29, 12, tzinfo=UTC)))
    assert refused(lambda: workflow.build(early, keys, "2026-Q1", quietly)) == "open-period"
    late = replace(context, clock=StillClock(datetime(2026, 8, 29, 12, tzinfo=UTC) + timedelta(days=1)))
    workflow.build(late, keys, "2026-Q1", quietly)
    # Digits of other scripts would name the same year again, and sort after every other.
    years = ("0000", "9999", "9999-Q4", "\uff12\uff10\uff12\uff16", "202\u0666-Q1")
    for wrong in ("2026-Q5", "2026-Q1-r1", "soon", "../2026", *years):
        assert refused(lambda wrong=wrong: workflow.build(context, keys, wrong, quietly)) == "no-period"  # type: ignore[misc]


@pytest.mark.parametrize("period", ["2000", "2025", "2025-Q4"])
def test_nothing_is_drafted_before_anybody_was_counted(context: Context, keys: Path, period: str) -> None:
    assert refused(lambda: workflow.build(context, keys, period, quietly)) == "nobody-counted"
    assert not list(keys.rglob("rounding-*"))
    # A quarter without anybody between others is published like any other: a missing one would tell that it is empty.
    workflow.build(context, keys, "2026-Q2", quietly)


def test_withdrawal_after_the_build_voids_the_draft(
    context: Context, keys: Path, counting: CountingContext, web: TestClient
) -> None:
    workflow.build(context, keys, "2026-Q1", quietly)
    approved(context)
    # A hundred less five: both are multiples of five, so the next draft has other bytes and needs new approvals.
    counting.take([withdrawal(1, *range(1, 6))])
    assert refused(lambda: workflow.publish(context)) == "somebody-left"
    assert refused(lambda: workflow.approve(context, "publisher", "Sample Cedar")) == "somebody-left"
    assert refused(lambda: workflow.check(context, quietly)) == "somebody-left"
    assert web.get("/reporting/v1/publications").json()["publications"] == []
    released(context, keys, "2026-Q1")


def test_withdrawal_during_the_build_voids_the_draft(
    context: Context, keys: Path, counting: CountingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(draft: Draft, *rest: Any) -> Draft:
        counting.take([withdrawal(1, 7)])
        return suppress_further(draft, *rest)

    monkeypatch.setattr(workflow, "suppress_further", meanwhile)
    workflow.build(context, keys, "2026-Q1", quietly)
    assert refused(lambda: workflow.check(context, quietly)) == "somebody-left"


def test_changes_in_another_period_void_no_draft(context: Context, keys: Path, counting: CountingContext) -> None:
    """Somebody comes late, or leaves another period."""
    late = Asked(400, "N02", "toronto", "crisis", AGENCIES[0], AGENCIES[1], date(2026, 4, 1), STATES)
    other = replace(late, who=401, day=date(2026, 7, 1))
    counting.take(events_of([other]))
    workflow.build(context, keys, "2026-Q1", quietly)
    counting.take([*events_of([late]), withdrawal(1, 401)])
    # Nobody leaves twice.
    counting.take([withdrawal(2, 401, 402)])
    approved(context)
    workflow.publish(context)


@pytest.mark.parametrize("period", ["2026-Q1", "2026-Q2"])
def test_draft_built_during_a_publication_is_not_kept(
    context: Context, keys: Path, monkeypatch: pytest.MonkeyPatch, period: str
) -> None:
    workflow.build(context, keys, "2026-Q1", quietly)
    approved(context)

    def meanwhile(draft: Draft, *rest: Any) -> Draft:
        workflow.publish(context)
        return suppress_further(draft, *rest)

    monkeypatch.setattr(workflow, "suppress_further", meanwhile)
    assert refused(lambda: workflow.build(context, keys, period, quietly)) == "changed"
    assert refused(lambda: workflow.check(context, quietly)) == "no-draft"


def test_fold_that_differs_stops_a_build_and_says_what_helps(context: Context, keys: Path) -> None:
    with context.database.transaction() as connection:
        connection.execute(text("UPDATE cell SET persons = persons + 1"))
    with pytest.raises(Problem, match="books-differ") as told:
        workflow.build(context, keys, "2026-Q1", quietly)
    assert "fireweed publication rebuild" in told.value.title


def test_damaged_published_file_stops_builds_beside_it(context: Context, keys: Path) -> None:
    released(context, keys, "2026-Q1")
    with context.database.transaction() as connection:
        connection.execute(
            text("UPDATE frozen_file SET content = substr(content, 1, 100) WHERE name LIKE '%need.json'")
        )
    with pytest.raises(Problem, match="damaged") as told:
        workflow.build(context, keys, "2026", quietly)
    assert "2026-Q1/tables/need.json" in told.value.title
    assert "oarsen" not in told.value.title


@pytest.mark.slow
def test_one_revision_a_year_and_only_of_published_periods(context: Context, keys: Path) -> None:
    assert refused(lambda: workflow.build(context, keys, "2026-Q1", quietly, revision=True)) == "nothing-to-revise"
    released(context, keys, "2026-Q1")
    workflow.build(context, keys, "2026-Q1", quietly, revision=True)
    approved(context)
    workflow.publish(context)
    assert refused(lambda: workflow.build(context, keys, "2026-Q1", quietly, revision=True)) == "revised-already"


@pytest.mark.slow
def test_i9_revision_that_tells_of_few_is_refused(context: Context, keys: Path, counting: CountingContext) -> None:
    """Equal people show an equal number: where another stands now, somebody came or left."""
    released(context, keys, "2026-Q1")
    counting.take([withdrawal(1, *range(1, 6))])
    assert refused(lambda: workflow.build(context, keys, "2026-Q1", quietly, revision=True)) == "too-few-changes"
    counting.take([withdrawal(2, *range(6, 31))])
    workflow.build(context, keys, "2026-Q1", quietly, revision=True)


def test_i13_every_unpublished_thing_gets_the_same_answer(context: Context, keys: Path, web: TestClient) -> None:
    released(context, keys, "2026-Q1")
    workflow.build(context, keys, "2026-Q2", quietly)
    base = "/reporting/v1/publications"
    answers = [
        web.get(f"{base}/{path}")
        for path in (
            "2026-Q2/certificate.json",
            "2026-Q2/tables/need.json",
            "2026-Q9/tables/need.json",
            "2026-Q1/tables/nothing.json",
            "2026-Q1/tables/need.xml",
            "2026-Q1/tables/need-city.json",
            "2026-Q1/tables/culture.json",
            "2026-Q1/tables/..%2Fcertificate.json",
            "2026-Q1/tables/NEED.json",
            "%27/tables/need.json",
        )
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert len({tuple(sorted((k, v) for k, v in answer.headers.items() if k != "date")) for answer in answers}) == 1


def test_i13_no_sort_filter_range_or_condition_changes_answers(context: Context, keys: Path, web: TestClient) -> None:
    released(context, keys, "2026-Q1")
    path = "/reporting/v1/publications/2026-Q1/tables/need.json"
    plain = web.get(path)
    assert {"last-modified", "accept-ranges"}.isdisjoint(plain.headers)
    # Its tag is the hash that the certificate names, and so says nothing that the bytes do not.
    sealed = web.get("/reporting/v1/publications/2026-Q1/certificate.json").json()["files"]["tables/need.json"]
    assert plain.headers["etag"] == f'"{sealed}"'
    for query in ("?sort=value", "?family=F2", "?min=1", "?limit=1", "?cursor=x"):
        assert web.get(path + query).content == plain.content
    for header in ({"range": "bytes=0-3"}, {"if-none-match": '"x"'}, {"accept": "text/csv"}):
        answer = web.get(path, headers=header)
        assert (answer.status_code, answer.content) == (200, plain.content)
    for condition in ("*", f'"{sealed}"', f'"x", W/"{sealed}"'):
        answer = web.get(path, headers={"if-none-match": condition})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", plain.headers["etag"])


def test_rows_stand_in_plan_order_whatever_the_numbers(context: Context, keys: Path, web: TestClient) -> None:
    released(context, keys, "2026-Q1")
    rows = web.get("/reporting/v1/publications/2026-Q1/tables/need.json").json()["rows"]
    codes = [int(row[0][1:]) for row in rows]
    assert codes == sorted(codes)


@pytest.mark.slow
def test_ocap_governed_tables_need_the_consent_of_their_body(context: Context, keys: Path) -> None:
    """Nothing behind a switch exists until the named body says so."""
    made = workflow.build(context, keys, "2026", quietly)
    assert not [name for name in made["files"] if "culture" in name]
    assert refused(lambda: governance.decide(context, "indigenous", "seen", BODY)) == "switch-off"
    governance.decide(context, "indigenous", "on", BODY)
    made = workflow.build(context, keys, "2026", quietly)
    assert "tables/culture.json" in made["files"]
    approved(context)
    # It sees them first, and takes its own copy.
    assert refused(lambda: workflow.publish(context)) == "not-seen"
    given: list[Mapping[str, bytes]] = []
    assert refused(lambda: workflow.show(context, "indigenous", "Somebody Else", given.append)) == "not-yours"
    assert not given

    def full_disk(_files: object) -> None:
        raise OSError(28, "No space left on device", "copy")

    with pytest.raises(OSError, match="No space"):
        workflow.show(context, "indigenous", BODY, full_disk)
    assert refused(lambda: workflow.publish(context)) == "not-seen"
    workflow.show(context, "indigenous", BODY, given.append)
    [own] = given
    assert set(own) == {f"tables/culture{more}.{kind}" for more in ("", "-result") for kind in ("json", "csv")}
    workflow.publish(context)


def test_ocap_only_one_of_two_bodies_holds_the_switch(context: Context) -> None:
    """They speak at the same instant."""
    ready = threading.Barrier(2)

    def claim(body: str) -> bool:
        ready.wait(20)
        with suppress(Problem):
            governance.decide(context, "indigenous", "on", body)
            return True
        return False

    for _ in range(20):
        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(claim, (BODY, "Sample Circle of Willow"))) == [False, True]
        with context.database.transaction() as connection:
            connection.execute(delete(decision))


@pytest.mark.slow
def test_ocap_veto_stops_the_draft(context: Context, keys: Path) -> None:
    """The next draft lacks the tables."""
    governance.decide(context, "indigenous", "on", BODY)
    workflow.build(context, keys, "2026", quietly)
    approved(context)
    workflow.show(context, "indigenous", BODY, lambda _own: None)
    governance.decide(context, "indigenous", "veto", BODY)
    assert refused(lambda: workflow.publish(context)) == "switch-off"
    made = workflow.build(context, keys, "2026", quietly)
    assert not [name for name in made["files"] if "culture" in name]
