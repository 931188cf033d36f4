"""Pages, CSV, XLSX and PDF say what the frozen tables say: every number and hidden cell, in order, and nothing else."""

import csv
import io
import re
from itertools import product

import openpyxl
import pypdf
import pytest
from starlette.testclient import TestClient

from services.reporting.pages.labels import Labels
from tests.support.report_pages import HOME, LANGUAGES, SPACES, bundle, counted, expected, held, read_page, told
from tests.support.shelves import drafts

TABLES = [(draft.id, name) for draft in drafts() if draft.id in {"2026", "2027-Q1"} for name in draft.tables]
each_table = pytest.mark.parametrize(("publication", "table"), TABLES)
FILES = f"{HOME}/v1/publications"


@pytest.mark.parametrize("language", LANGUAGES)
@each_table
def test_page_shows_each_number_of_its_table_once_in_order(
    web: TestClient, publication: str, table: str, language: str
) -> None:
    """It shows no other number."""
    page = read_page(web.get(f"{HOME}/{language}/r/{publication}/{table}").text)
    wanted = [[name, *values] for (_, name), values in expected(bundle(web, publication, table), language).items()]
    parts = len({part for part, _ in expected(bundle(web, publication, table), language)})
    shown = [[row[0], *(cell.translate(SPACES) for cell in row[1:])] for row in counted(page, language)]
    by_part = len(wanted) // parts
    ordered = [wanted[at] for part in range(parts) for at in _of_part(table, part, by_part, parts)]
    assert shown[: len(wanted)] == ordered
    assert len(page.tables) in {parts, parts + 1}, "what else there is, is the way through time"


def _of_part(table: str, part: int, size: int, parts: int) -> range:
    """Return the positions of a part's rows: the plan names needs first, and the part second."""
    return range(part, size * parts, parts) if parts > 1 else range(size)


@each_table
def test_csv_and_xlsx_hold_the_rows_and_names_of_the_table(web: TestClient, publication: str, table: str) -> None:
    document = bundle(web, publication, table)
    text = web.get(f"{FILES}/{publication}/tables/{table}.csv").text
    assert list(csv.reader(io.StringIO(text)))[1:] == [[str(value) for value in row] for row in document["rows"]]

    book = openpyxl.load_workbook(io.BytesIO(web.get(f"{FILES}/{publication}/tables/{table}.xlsx").content))
    numbers, shares, about = book.worksheets
    head, *rows = ([cell.value for cell in row] for row in numbers.iter_rows())
    codes = [place for place, name in enumerate(head) if name in document["columns"]]
    assert [head[place] for place in codes] == document["columns"]
    assert [[row[place] for place in codes] for row in rows] == document["rows"]
    assert [row[1:3] for row in rows] == [
        [Labels(language, 1).code("family", row[0]) for language in LANGUAGES] for row in document["rows"]
    ]
    ratios = [[cell.value for cell in row] for row in shares.iter_rows()][1:]
    assert [(row[0], row[-1]) for row in ratios if row] == [
        (ratio["indicator"], ratio["percent"]) for ratio in document["ratios"]
    ]
    assert {cell.data_type for sheet in book.worksheets for row in sheet.iter_rows() for cell in row} <= {"s", "n"}
    certificate = web.get(f"{FILES}/{publication}/certificate.json").json()
    assert book.properties.created.isoformat() == certificate["published_at"].removesuffix("+00:00"), "of no other time"
    assert certificate["bundle"] in [row[1].value for row in about.iter_rows()]


@pytest.mark.parametrize("language", LANGUAGES)
@each_table
def test_pdf_text_equals_its_page(web: TestClient, publication: str, table: str, language: str) -> None:
    made = pypdf.PdfReader(io.BytesIO(web.get(f"{FILES}/{publication}/tables/{table}.{language}.pdf").content))
    text = re.sub(r"\s", "", "".join(page.extract_text() for page in made.pages)).translate(SPACES)
    page = read_page(web.get(f"{HOME}/{language}/r/{publication}/{table}").text)
    parts = max(1, len({part for part, _ in expected(bundle(web, publication, table), language) if part}))
    at = 0
    for row in (row for shown in page.tables[:parts] for row in shown.rows):
        wanted = re.sub(r"\s", "", "".join(row)).translate(SPACES)
        found = text.find(wanted, at)
        assert found >= 0, row
        at = found + len(wanted)
    assert made.metadata is not None
    assert made.metadata.title == f"{publication} {Labels(language, 1).table(table)}"


@pytest.mark.parametrize("publication", ["2026", "2027-Q1"])
def test_recommendation_page_shows_every_share_of_its_tables(web: TestClient, publication: str) -> None:
    for language, number in product(LANGUAGES, range(1, 8)):
        path = f"{HOME}/{language}/r/{publication}/R{number}"
        ratios = [
            (table, ratio["indicator"], ratio["percent"])
            for table in held(web, publication)
            for ratio in bundle(web, publication, table)["ratios"]
            if ratio["indicator"].startswith(f"R{number}.")
        ]
        answer = web.get(path)
        assert answer.status_code == (200 if ratios else 404)
        if ratios:
            labels = Labels(language, 1)
            shown = [cell for table in read_page(answer.text).tables for row in table.rows for cell in row[1:]]
            for percent in {percent for _, _, percent in ratios if percent != "x"}:
                assert labels.share(percent) in shown
            assert len(shown) >= len(ratios)


@pytest.mark.parametrize("subject", ["toronto", "ontario", "F2", "F17"])
def test_region_or_need_page_shows_its_table_rows(web: TestClient, subject: str) -> None:
    page = read_page(web.get(f"{HOME}/en/r/2026/{subject}").text)
    shown = [cell.translate(SPACES) for table in page.tables for row in table.rows for cell in row[1:]]
    rows = [row for table in held(web, "2026") for row in bundle(web, "2026", table)["rows"] if subject in row[:-1]]
    assert rows
    for row in rows:
        assert told(row[-1], "en") in shown
