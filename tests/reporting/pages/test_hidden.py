"""Hidden numbers leave no trace: no answer tells two hubs apart that differ in hidden numbers only."""

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from services.reporting.models import publication
from services.reporting.page_data import DatabaseSource
from services.reporting.pages.catalogue import Holdings
from tests.support.counted import AGENCIES, Asked, CountingContext, events_of
from tests.support.report_pages import HOME, LANGUAGES, SIGN, bundle, every_path, held, read_page
from tests.support.shelves import Front, asked_of_databases, draft_of, drafts, front, keep, more_hidden

MORE = 3
# Tables that know a true number, or were never meant to be public.
SECRET = re.compile(r"\b(journal|contribution|cell|withdrawn|rebuilding|approval|decision|truth|verdict|built_at)\b")
HEADERS = (
    "accept",
    "accept-language",
    "accept-encoding",
    "range",
    "if-none-match",
    "if-modified-since",
    "cookie",
    "te",
)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Return a hub with people in its journal, other true numbers where they are hidden, and a draft that is not out."""
    folder: Path = tmp_path_factory.mktemp("other")
    url = f"sqlite:///{folder / 'reporting.sqlite'}"
    with front(url, folder, [more_hidden(draft, MORE) for draft in drafts()]) as made:
        context = CountingContext.open(url, folder)
        sender, recipient = AGENCIES[:2]
        asked = ("N02", "toronto", "crisis", sender, recipient, date(2026, 4, 1), ("requested",))
        people = [Asked(who, *asked) for who in range(1, 30)]
        context.take(events_of(people))
        context.close()
        keep(made.database, draft_of(5, "2027-Q2"))
        with made.database.transaction() as connection:
            # Which agencies take part is no secret, and live: it is equal in both.
            connection.exec_driver_sql("DELETE FROM agency")
        yield made


@pytest.fixture(scope="module")
def both(web: TestClient, other: Front) -> Iterator[tuple[TestClient, TestClient]]:
    with TestClient(other.app, follow_redirects=False) as client:
        yield web, client


@pytest.fixture(scope="module")
def addresses(web: TestClient) -> list[str]:
    return every_path(web)


def seen(client: TestClient, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> Any:
    """Return all that a caller sees of an answer."""
    answer = client.request(method, path, headers=headers)
    return answer.status_code, sorted(answer.headers.items()), answer.content


def test_two_hubs_hide_different_truths_behind_equal_files(face: Front, other: Front) -> None:
    truths = []
    for hub in (face, other):
        with hub.database.reading() as connection:
            query = publication.select().where(publication.c.state == "published").order_by(publication.c.number)
            rows = connection.execute(query).all()
        truths.append([row.truth["persons"] for row in rows])
    assert all(one != two for one, two in zip(*truths, strict=True))
    for before in drafts():
        changed = more_hidden(before, MORE)
        assert changed.tables != before.tables
        assert changed.shown() == before.shown()


@pytest.mark.slow
def test_answers_are_equal_to_the_byte_whatever_is_hidden(
    both: tuple[TestClient, TestClient], addresses: list[str]
) -> None:
    one, two = both
    assert len(addresses) > 500
    for path in addresses:
        assert seen(one, path) == seen(two, path), path


PIECES = (
    *(
        ".",
        "..",
        "%",
        "r",
        "v1",
        "en",
        "fr",
        "files",
        "tables",
        "publications",
        "capacity",
        "quality",
        "R1",
        "F2",
        "F11",
    ),
    *("toronto", "canada", "need", "need-city", "culture", "2026", "2026-Q1", "2027-Q2", "2026-r1", "certificate.json"),
    *("need.json", "need.csv", "need.xlsx", "need.en.pdf", "people.de.pdf", "report.css", "fr.po", "%00", "%2e%2e%2f"),
)
paths = st.builds(
    lambda parts: f"{HOME}/" + "/".join(parts),
    st.lists(st.sampled_from(PIECES) | st.text(max_size=6).map(quote), max_size=6),
)
QUERIES = ("sort", "min", "max", "family", "region", "limit", "cursor", "from", "to", "format", "l")
queries = st.dictionaries(
    st.sampled_from(QUERIES),
    st.sampled_from(["", "1", "10", "value", "-value", "F2", "x", "2026-04-01"]),
    max_size=3,
)
headers = st.dictionaries(
    st.sampled_from(HEADERS),
    st.sampled_from(["*", "fr", "text/csv", "bytes=0-9", '"x"', "gzip", "Mon, 01 Jan 2024 00:00:00 GMT", "s=1", "0"]),
    max_size=3,
)
methods = st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "OPTIONS"])
fuzzing = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def alike(
    both: tuple[TestClient, TestClient], path: str, query: dict[str, str], header: dict[str, str], method: str
) -> None:
    asked_for = "&".join(f"{name}={value}" for name, value in query.items())
    addressed = f"{path}?{asked_for}" if asked_for else path
    one, two = (seen(client, addressed, method, header) for client in both)
    assert one == two
    assert one == seen(both[0], path, method, header), "no question but the address itself changes an answer"


@fuzzing
@given(path=paths, query=queries, header=headers, method=methods)
def test_i13_no_path_query_or_header_tells_hidden_numbers(
    both: tuple[TestClient, TestClient], path: str, query: dict[str, str], header: dict[str, str], method: str
) -> None:
    alike(both, path, query, header, method)


@fuzzing
@given(data=st.data(), query=queries, header=headers, method=methods)
def test_i13_no_query_or_header_of_a_page_tells_hidden_numbers(
    both: tuple[TestClient, TestClient], addresses: list[str], data: st.DataObject, method: str, **more: dict[str, str]
) -> None:
    """These are addresses that answer with a page or file."""
    alike(both, data.draw(st.sampled_from(addresses)), more["query"], more["header"], method)


@pytest.mark.parametrize("page", ["/en/", "/en/archive", "/en/r/2026", "/fr/r/2026/R1", "/en/r/2026/need-city"])
def test_i13_no_sort_filter_or_range_changes_a_page(web: TestClient, page: str) -> None:
    plain = seen(web, HOME + page)
    assert plain[0] == 200
    for name in QUERIES:
        assert seen(web, f"{HOME}{page}?{name}=1") == plain


@pytest.mark.slow
def test_database_queries_do_not_depend_on_secrets(face: Front, other: Front, addresses: list[str]) -> None:
    """So that not even the time which an answer takes can depend on a hidden number."""
    work = []
    for hub in (face, other):
        # New pages, which have nothing cached yet.
        with front(hub.url, hub.folder) as fresh, TestClient(fresh.app) as client:
            # Time stands still, so that neither refreshes live facts more often than the other.
            fresh.app.state.holdings = Holdings(DatabaseSource(fresh.database), now=lambda: 0.0)
            with asked_of_databases() as statements:
                for path in (*addresses[::3], f"{HOME}/en/", f"{HOME}/v1/capacity"):
                    client.get(path)
            work.append(statements)
    assert work[0] == work[1]
    told = {statement for statement in work[0] if not statement.startswith(("PRAGMA", "BEGIN"))}
    assert len(told) >= 4
    assert [statement for statement in told if not statement.startswith("SELECT") or SECRET.search(statement)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_hidden_cell_leaves_one_sign_and_no_other_trace(web: TestClient, language: str) -> None:
    for publication_ in ("2026", "2027-Q1"):
        for table in held(web, publication_):
            document = bundle(web, publication_, table)
            text = web.get(f"{HOME}/{language}/r/{publication_}/{table}").text
            first = text.partition("<h2>" + {"en": "Through time", "fr": "Au fil du temps"}[language])[0]
            hidden = sum(row[-1] == "x" for row in document["rows"])
            page = read_page(first)
            marks = [cell for shown in page.tables for row in shown.rows for cell in row if cell == SIGN[language]]
            assert len(marks) >= hidden
            assert first.count(f"<td>{SIGN[language]}</td>") == len(marks), "and nothing about it but the words"
            assert {name for tag, given in page.marks if tag in {"td", "tr", "tbody"} for name in given} == set()


def test_only_the_sign_is_drawn_for_a_hidden_cell(web: TestClient) -> None:
    grounds = 0
    for table in ("need-result", "need-city", "need-city-result"):
        page = read_page(web.get(f"{HOME}/en/r/2026/{table}").text)
        shapes = [given.get("class", "") for tag, given in page.marks if tag == "rect"]
        signs = [text for drawn in page.drawn for text in drawn if text in {"x", SIGN["en"]}]
        bars, beds = shapes.count("bar"), shapes.count("ground")
        assert signs
        if bars:
            assert beds - bars == len(signs)
        else:
            assert beds == len(signs)
        grounds += beds
    assert grounds


def test_unpublished_things_get_one_answer(other: Front) -> None:
    with TestClient(other.app) as client:
        answers = [
            seen(client, HOME + path)
            for path in (
                "/en/r/2027-Q2",
                "/en/r/2027-Q2/need",
                "/en/r/2029/need",
                "/en/r/2026-Q1/vancouver",
                "/en/r/2026/culture",
                "/en/r/2026/nothing",
                "/en/nothing",
                "/de/r/2026/need",
                "/files/fr.po",
                "/v1/publications/2027-Q2/tables/need.xlsx",
                "/v1/publications/2026/tables/need.de.pdf",
                "/v1/publications/2026/tables/culture.en.pdf",
                "/en/r/2026/..%2f..%2fneed",
            )
        ]
    assert len(set(map(str, answers))) == 1
    assert answers[0][0] == 404
    assert json.loads(answers[0][2])["type"] == "urn:fireweed:problem:not-found"
