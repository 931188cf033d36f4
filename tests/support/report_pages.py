"""Parser for the public report pages: their tables and charts, and the values that they should show."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from starlette.testclient import TestClient

import schemas
from services.reporting.pages.labels import Labels

HOME = "/reporting"
LANGUAGES = ("en", "fr")
SIGN = {"en": "not shown", "fr": "non montré"}
SPACES = str.maketrans("", "", " ,\u00a0\u202f%")


@dataclass(slots=True)
class Shown:
    """A table on a page: its headers and cells as text."""

    heads: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


class ReportReader(HTMLParser):
    """Parser that collects tables, links, tags, texts and chart labels of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[Shown] = []
        self.links: list[str] = []
        self.marks: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.drawn: list[list[str]] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.marks.append((tag, given))
        if tag not in {"meta", "link", "rect", "polyline"}:
            self._open.append(tag)
        if tag == "table":
            self.tables.append(Shown())
        if tag == "tr" and "tbody" in self._open:
            self.tables[-1].rows.append([])
        if tag in {"td", "th"}:
            (self.tables[-1].rows[-1] if "tbody" in self._open else self.tables[-1].heads).append("")
        if tag == "svg":
            self.drawn.append([])
        if tag == "a":
            self.links.append(given["href"])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if {"td", "th"} & set(self._open):
            cells = self.tables[-1].rows[-1] if "tbody" in self._open else self.tables[-1].heads
            cells[-1] += data
        if "svg" in self._open and "text" in self._open:
            self.drawn[-1].append(data)


def read_page(text: str) -> ReportReader:
    """Return a page, parsed."""
    reader = ReportReader()
    reader.feed(text)
    return reader


def bundle(web: TestClient, publication: str, table: str) -> Any:
    """Return a published table as JSON."""
    return web.get(f"{HOME}/v1/publications/{publication}/tables/{table}.json").json()


def told(value: int | str, language: str) -> str:
    """Return the text that a page should show for a count, without spaces and commas between digits."""
    return SIGN[language].translate(SPACES) if value == "x" else str(value)


def expected(document: dict[str, object], language: str) -> dict[tuple[str, str], list[str]]:
    """Return the values that each row of a table page should show, by part and row name, computed from the rows alone."""
    rows: list[list[object]] = document["rows"]  # type: ignore[assignment]
    columns: list[str] = document["columns"]  # type: ignore[assignment]
    labels = Labels(language, 1)
    found: dict[tuple[str, str], list[str]] = {}
    for *key, value in rows:
        named = [labels.code(name, str(code)) for name, code in zip(columns, key, strict=False)]
        part = named[1] if len(named) == 3 else ""
        assert isinstance(value, int | str)
        found.setdefault((part, named[0]), []).append(told(value, language))
    return found


def counted(page: ReportReader, language: str) -> list[list[str]]:
    """Return the rows of the tables on a page about one table: names and counts, without shares and trends."""
    indicators = {
        label
        for each in schemas.indicators()
        for label in [f"{each['id']} {Labels(language, 1).indicator(each['id'])}"]
    }
    rows = []
    for table in page.tables:
        places = [place for place, head in enumerate(table.heads) if head not in indicators]
        rows += [[row[place] for place in places] for row in table.rows]
    return rows


def held(web: TestClient, publication: str) -> list[str]:
    """Return the ids of the tables of a publication."""
    found = web.get(f"{HOME}/v1/publications").json()["publications"]
    [files] = [each["files"] for each in found if each["id"] == publication]
    return [name.removeprefix("tables/").removesuffix(".json") for name in files]


def every_path(web: TestClient) -> list[str]:
    """Return every public address that has content, in both languages."""
    names = [
        *schemas.recommendations(),
        *schemas.plan(1)["dimensions"]["region"]["within"],
        *schemas.plan(1)["dimensions"]["family"]["within"],
        *(table["id"] for table in schemas.plan(1)["tables"]),
        "quality",
    ]
    published = [each["id"] for each in web.get(f"{HOME}/v1/publications").json()["publications"]]
    pages = ["/", "/method", "/archive", *(f"/r/{each}" for each in published)]
    pages += [f"/r/{each}/{name}" for each in published for name in names] + [f"/{name}" for name in names]
    endings = ("json", "csv", "xlsx", "en.pdf", "fr.pdf")
    files = [f"/v1/publications/{each}/certificate.json" for each in published]
    files += [
        f"/v1/publications/{each}/tables/{n}.{end}" for each in published for n in held(web, each) for end in endings
    ]
    return [HOME + path for path in ("/v1/publications", "/v1/capacity", *files)] + [
        f"{HOME}/{language}{page}" for page in pages for language in LANGUAGES
    ]
