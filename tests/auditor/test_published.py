"""Reading a folder returns publications as they were published, complete with those they belong to, or raises a doubt."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from services.auditor.audit import audit
from tests.support.cohorts import Cohort
from tests.support.publishing import Press, quietly

QUARTER = "2026-Q1"
Change = Callable[[Any], object]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a quarter, and its year beside it; everything is hidden, since that is quick."""
    press = Press(Cohort(3, 60, agencies=4, local=False), tmp_path_factory.mktemp("published"))
    for period in (QUARTER, "2026"):
        made = press.draft(period)
        whole = made.hiding(frozenset(range(len(made.known.names))))
        press.write(whole)
        press.known.append(whole)
    return press.folder


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder that a test may change."""
    return Path(shutil.copytree(published, tmp_path / "downloaded"))


def changed(folder: Path, change: Change) -> None:
    """Change a certificate, and seal everything again as a publisher would."""
    path = folder / QUARTER / "certificate.json"
    certificate = json.loads(path.read_bytes())
    files = {f"tables/{each.name}": each.read_bytes() for each in (path.parent / "tables").iterdir()}
    change(certificate["publication"])
    hashes = {name: sha256(content).hexdigest() for name, content in sorted(files.items())}
    both = json.dumps([certificate["publication"], hashes], ensure_ascii=False, sort_keys=True, indent=1) + "\n"
    path.write_text(json.dumps({**certificate, "files": hashes, "bundle": sha256(both.encode()).hexdigest()}))


def doubt(folder: Path) -> str:
    verdict = audit(folder, quietly)
    assert not verdict.safe
    return verdict.doubt or ""


def test_published_files_are_read(folder: Path) -> None:
    changed(folder, lambda head: head)
    assert audit(folder, quietly).safe


def test_publication_is_not_safe_without_those_beside_it(folder: Path) -> None:
    shutil.rmtree(folder / QUARTER)
    assert doubt(folder) == "2026 came out beside 2026-Q1, which is not here."


@pytest.mark.parametrize("member", ["id", "number", "period", "plan", "rules", "revises", "drift", "certain", "files"])
@pytest.mark.parametrize("wrong", [None, "1", 1.5, [1], {"a": 1}, True, 10**30])
def test_malformed_head_is_a_doubt_and_no_crash(folder: Path, member: str, wrong: object) -> None:
    changed(folder, lambda head: head.update({member: wrong}))
    if (member, wrong) == ("revises", None):
        assert audit(folder, quietly).safe
    else:
        assert doubt(folder)


@pytest.mark.parametrize(
    "other", [{"id": "2026-Q2"}, {"id": "2026"}, {"period": "2031-Q1"}, {"period": "2026"}, {"revises": QUARTER}]
)
def test_publication_under_another_id_is_a_doubt(folder: Path, other: dict[str, str]) -> None:
    changed(folder, lambda head: head.update(other))
    assert doubt(folder) == "2026-Q1 is not what its certificate says it is."


@pytest.mark.parametrize("text", ["", "[]", "null", "5", '{"publication": {}, "files": []}', "[" * 200_000])
def test_malformed_certificate_is_a_doubt_and_no_crash(folder: Path, text: str) -> None:
    (folder / QUARTER / "certificate.json").write_text(text)
    assert doubt(folder).startswith("2026-Q1 cannot be read")


@pytest.mark.parametrize("value", [10**6, 10**30])
def test_more_people_than_possible_are_a_doubt(folder: Path, value: int) -> None:
    path = folder / QUARTER / "tables" / "people.json"
    table = json.loads(path.read_bytes())
    table["rows"][0][-1] = value
    path.write_text(json.dumps(table))
    changed(folder, lambda head: head)
    assert doubt(folder) == "A cell holds neither a number nor the sign for a hidden one."
