"""Pages stay the same: bytes, tags and addresses; nothing is stored in a browser, and nothing needs a script."""

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

import schemas
from services.reporting.models import frozen_file
from services.reporting.store import publications as store
from tests.support.report_pages import HOME, LANGUAGES, every_path, held, read_page
from tests.support.shelves import drafts, front, revised, shelve

SOME = ("/r/2026", "/r/2026/quality", "/r/2026/R1", "/r/2026/F2", "/r/2026/ontario", "/r/2026/need-city-result")
FILES = ("need.json", "need.csv", "need.xlsx", "need.en.pdf", "need-city-result.fr.pdf")
PUBLISHED = [*(f"{HOME}/en{path}" for path in SOME), *(f"{HOME}/v1/publications/2026/tables/{name}" for name in FILES)]


def test_published_bytes_never_change(tmp_path: Path) -> None:
    """They stay equal when more is published, and in any process."""
    first, second = [], []
    url = f"sqlite:///{tmp_path / 'reporting.sqlite'}"
    with front(url, tmp_path, drafts()[:3]) as face, TestClient(face.app) as client:
        first = [client.get(path).content for path in PUBLISHED]
    with front(url, tmp_path) as face, TestClient(face.app) as client:
        shelve(face.database, drafts()[3:])
        second = [client.get(path).content for path in PUBLISHED]
    assert first == second
    assert len(set(first)) == len(PUBLISHED)


def test_revision_and_revised_page_name_each_other(tmp_path: Path) -> None:
    """A revision stands beside the publication that it revises."""
    published = [*drafts()[:3], revised(drafts()[2], 4)]
    url = f"sqlite:///{tmp_path / 'reporting.sqlite'}"
    with front(url, tmp_path, published) as face, TestClient(face.app, follow_redirects=False) as client:
        old, new = (client.get(f"{HOME}/en/r/{name}/F2") for name in ("2026", "2026-r1"))
        assert f"{HOME}/en/r/2026-r1" in read_page(old.text).links
        assert "This is a revision" in new.text
        assert client.get(f"{HOME}/en/F2").headers["location"] == f"{HOME}/en/r/2026-r1/F2"
        archive = read_page(client.get(f"{HOME}/en/archive").text)
        assert [row[0] for row in archive.tables[0].rows] == [
            *["April 2026 to March 2027"] * 2,
            "July to September 2026",
            "April to June 2026",
        ]


def test_newest_is_the_period_that_ended_last(tmp_path: Path) -> None:
    """A later revision of an earlier period does not count as the newest."""
    first, second = drafts()[:2]
    published = [first, second, revised(first, 3)]
    url = f"sqlite:///{tmp_path / 'reporting.sqlite'}"
    with front(url, tmp_path, published) as face, TestClient(face.app, follow_redirects=False) as client:
        for subject in ("people", "F2", "quality"):
            assert client.get(f"{HOME}/en/{subject}").headers["location"] == f"{HOME}/en/r/2026-Q2/{subject}"
        overview = client.get(f"{HOME}/en/").text
        assert f'href="{HOME}/en/r/2026-Q2"' in overview
        assert "2026-Q1-r1" not in overview


@pytest.mark.parametrize(
    ("damaged", "change"),
    [
        ("tables/people.json", lambda was: was.replace(b"people", b"humans")),
        ("tables/people.json", lambda was: was[:100]),
        ("certificate.json", lambda was: was.replace(b'"number": 1', b'"number": 9')),
        ("certificate.json", lambda was: was[:100]),
    ],
)
def test_damaged_bytes_are_not_shown(
    tmp_path: Path, damaged: str, change: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{tmp_path / 'reporting.sqlite'}"
    with front(url, tmp_path, drafts()[:2]) as face, TestClient(face.app) as client:
        with face.database.transaction() as connection:
            was = store.files(connection, "2026-Q1")[damaged]
            there = (frozen_file.c.publication == "2026-Q1") & (frozen_file.c.name == damaged)
            connection.execute(update(frozen_file).where(there).values(content=change(was)))
        for path in (
            "en/r/2026-Q1/people",
            f"v1/publications/2026-Q1/{damaged}",
            "v1/publications/2026-Q1/tables/people.xlsx",
        ):
            assert client.get(f"{HOME}/{path}").status_code == 503, path
        assert client.get(f"{HOME}/en/r/2026-Q2/ontario").status_code == 200
    told = {record.getMessage().partition(":")[0] for record in caplog.records if record.name == "fireweed"}
    assert told == {"a published file of 2026-Q1 is damaged"}


@pytest.mark.parametrize("path", PUBLISHED)
def test_tag_is_the_hash_and_a_known_tag_gets_304(web: TestClient, path: str) -> None:
    answer = web.get(path)
    assert answer.status_code == 200
    assert answer.headers["etag"] == f'"{sha256(answer.content).hexdigest()}"'
    assert re.fullmatch(r"public, max-age=\d+", answer.headers["cache-control"])
    again = web.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert web.get(path, headers={"if-none-match": '"other"'}).content == answer.content


@pytest.mark.parametrize("path", [f"{HOME}/", f"{HOME}/v1/publications", f"{HOME}/en/r/none", *PUBLISHED])
def test_head_request_tells_whether_a_link_still_works(web: TestClient, path: str) -> None:
    head, whole = web.head(path), web.get(path)
    assert (head.status_code, head.headers, head.content) == (whole.status_code, whole.headers, b"")


def test_pages_set_no_cookie_need_no_script_and_load_nothing(web: TestClient) -> None:
    """Nothing is stored in the browser, and nothing is loaded from elsewhere."""
    for path in every_path(web)[::5]:
        answer = web.get(path)
        headers = answer.headers
        assert "set-cookie" not in headers
        assert headers["content-security-policy"].startswith("default-src 'self'; frame-ancestors 'none'")
        assert not re.search(r"unsafe|nonce|\*|data:|http", headers["content-security-policy"])
        assert headers["x-content-type-options"] == "nosniff"
        if headers.get("content-type", "").startswith("text/html"):
            page = read_page(answer.text)
            tags = {tag for tag, _ in page.marks}
            assert not tags & {"script", "style", "img", "iframe", "form", "object"}
            assert not [given for _, given in page.marks if "style" in given or any(name[:2] == "on" for name in given)]
            addresses = [given[name] for _, given in page.marks for name in ("href", "src") if name in given]
            assert [address for address in addresses if not re.match(rf"#|{HOME}/", address)] == []


@pytest.mark.slow
def test_every_link_on_every_page_leads_somewhere(web: TestClient) -> None:
    """Each table and each subject of a publication has its own address, and pages know no other."""
    seen, waiting = set(), [f"{HOME}/en/", f"{HOME}/fr/r/2026"]
    while waiting:
        path = waiting.pop()
        if path in seen or not path:
            continue
        seen.add(path)
        answer = web.get(path)
        assert answer.status_code in {200, 307}, path
        if answer.status_code == 307:
            waiting.append(answer.headers["location"])
        elif answer.headers["content-type"].startswith("text/html"):
            waiting += [link.partition("#")[0] for link in read_page(answer.text).links]
    for name in held(web, "2026"):
        assert {f"{HOME}/fr/r/2026/{name}", f"{HOME}/v1/publications/2026/tables/{name}.xlsx"} <= seen


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_says_so_before_the_first_publication(tmp_path: Path, language: str) -> None:
    names = [*schemas.recommendations(), "toronto", "F2", "F11", "need", "quality"]
    with front(f"sqlite:///{tmp_path / 'reporting.sqlite'}", tmp_path) as face, TestClient(face.app) as client:
        overview = client.get(f"{HOME}/{language}/").text
        assert {"en": "There is none yet.", "fr": "Il n’y en a pas encore."}[language] in overview
        archive = client.get(f"{HOME}/{language}/archive").text
        assert {"en": "There is no publication yet.", "fr": "Il n’y a pas encore de publication."}[language] in archive
        for name in names:
            answer = client.get(f"{HOME}/{language}/{name}")
            if name == "X":
                assert answer.status_code == 404
            else:
                assert {"en": "No publication has", "fr": "Aucune publication n’a"}[language] in answer.text
                assert answer.headers["cache-control"] == "no-store"


def test_browser_language_decides_where_to_begin(web: TestClient) -> None:
    assert web.get(HOME, headers={"accept-language": "fr-CA"}).headers["location"] == f"{HOME}/fr/"
    assert web.get(f"{HOME}/").headers["location"] == f"{HOME}/en/"


def test_a_trend_ends_with_its_own_publication(web: TestClient) -> None:
    """A page of an earlier quarter never learns of a later one."""
    for publication, quarters in (("2026-Q1", 0), ("2026-Q2", 2), ("2027-Q1", 3)):
        page = read_page(web.get(f"{HOME}/en/r/{publication}/people").text)
        trend = [table for table in page.tables if table.heads[0] == "Period"]
        assert [len(table.rows) for table in trend] == ([quarters] if quarters else [])
