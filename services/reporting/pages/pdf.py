"""A published table as PDF, in one language, to print or to file; the page says the same, and to a screen reader too."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from textwrap import wrap

import pydyf

from services.reporting.pages import pivots
from services.reporting.pages.data_source import Release
from services.reporting.pages.labels import Labels, catalogue
from services.reporting.pages.pivots import Grid
from services.reporting.pages.published_table import Table

# A page of letter paper lying on its side, in points.
WIDTH, HEIGHT, MARGIN = 792, 612, 54
PLAIN, BOLD = "Plain", "Bold"
FONTS = {PLAIN: "Helvetica", BOLD: "Helvetica-Bold"}
# These fonts know the letters of this encoding, and a letter is about this wide at size one.
ENCODING, LETTER = "cp1252", 0.56


class Paper:
    """A document that is written from top to bottom."""

    def __init__(self, title: str, language: str) -> None:
        self._pdf = pydyf.PDF()
        self._pdf.info["Title"] = pydyf.String(title)
        self._pdf.catalog["Lang"] = pydyf.String(language)
        self._fonts = pydyf.Dictionary({name: self._font(face) for name, face in FONTS.items()})
        self._page, self._y = pydyf.Stream(compress=True), 0.0
        self._turn()

    def line(self, cells: Sequence[tuple[float, float, str]], font: str = PLAIN, size: float = 9) -> None:
        """Cells beside each other, each with its place, its width and its words; on a new page if there is no room."""
        lines = [wrap(words, max(int(width / (LETTER * size)), 4)) or [""] for _, width, words in cells]
        height = 1.35 * size * max(map(len, lines))
        if self._y - height < MARGIN:
            self._turn()
        for (x, _, _), parts in zip(cells, lines, strict=True):
            for down, part in enumerate(parts):
                self._say(MARGIN + x, self._y - size - 1.35 * size * down, part, font, size)
        self._y -= height

    def text(self, words: str, font: str = PLAIN, size: float = 9) -> None:
        """A paragraph."""
        self.line([(0, WIDTH - 2 * MARGIN, words)], font, size)

    def skip(self) -> None:
        """Leave some room."""
        self._y -= 9

    def rule(self) -> None:
        """Draw a thin line across."""
        self._page.rectangle(MARGIN, self._y - 2, WIDTH - 2 * MARGIN, 0.5)
        self._page.fill()
        self._y -= 4

    def as_bytes(self) -> bytes:
        """The document, always the same bytes for the same words."""
        made = BytesIO()
        self._pdf.write(made)
        return made.getvalue()

    def _turn(self) -> None:
        self._page = pydyf.Stream(compress=True)
        self._pdf.add_object(self._page)
        self._pdf.add_page(
            pydyf.Dictionary(
                {
                    "Type": "/Page",
                    "Parent": self._pdf.pages.reference,
                    "MediaBox": pydyf.Array([0, 0, WIDTH, HEIGHT]),
                    "Contents": self._page.reference,
                    "Resources": pydyf.Dictionary({"Font": self._fonts}),
                }
            )
        )
        self._y = HEIGHT - MARGIN

    def _font(self, face: str) -> bytes:
        names = {"Type": "/Font", "Subtype": "/Type1", "BaseFont": f"/{face}", "Encoding": "/WinAnsiEncoding"}
        font = pydyf.Dictionary(names)
        self._pdf.add_object(font)
        return bytes(font.reference)

    def _say(self, x: float, y: float, words: str, font: str, size: float) -> None:
        # A narrow space between digits is not among the letters of these fonts; a wider one is.
        letters = words.replace("\u202f", "\xa0").encode(ENCODING)
        self._page.begin_text()
        self._page.set_font_size(font, size)
        self._page.move_text_to(x, y)
        self._page.stream.append(b"<" + letters.hex().encode() + b"> Tj")
        self._page.end_text()


def document(release: Release, table: Table, language: str) -> bytes:
    """The table as a file, always the same bytes for the same publication."""
    words, said = Labels(language, release.plan), catalogue(language)
    paper = Paper(f"{release.id} {words.table(table.id)}", language)
    paper.text(words.table(table.id), BOLD, 15)
    paper.text(words.period(release.period))
    paper.text(said.gettext("Numbers are rounded. What is not shown could give somebody away, or protects others."))
    paper.text(f"{release.id}, {table.id}, {release.bundle}", size=7)
    for part in pivots.parts(table):
        paper.skip()
        for name, code in part.items():
            paper.text(words.code(name, code), BOLD, 11)
        _grid(paper, pivots.counts(table, part), words)
    return paper.as_bytes()


def _grid(paper: Paper, grid: Grid, words: Labels) -> None:
    label = 210.0
    width = min(120.0, (WIDTH - 2 * MARGIN - label) / len(grid.columns))

    def across(first: str, others: Iterator[str]) -> list[tuple[float, float, str]]:
        return [(0, label, first), *((label + width * at, width - 4, told) for at, told in enumerate(others))]

    paper.line(
        across(words.dimension(grid.rows[0][0]), (words.header(column.head) for column in grid.columns)), BOLD, 8
    )
    paper.rule()
    for row, values in zip(grid.rows, grid.cells, strict=True):
        told = (words.value(column, value) for column, value in zip(grid.columns, values, strict=True))
        paper.line(across(words.header(row), told))
