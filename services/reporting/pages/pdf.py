"""Makes a published table into a PDF, in one language, to print or to file; its page says the same in HTML."""

from collections.abc import Sequence

from fpdf import FPDF

from services.reporting.pages import pivots
from services.reporting.pages.data_source import Release
from services.reporting.pages.labels import Labels, catalogue
from services.reporting.pages.pivots import Grid
from services.reporting.pages.published_table import Table

# Every reader has this font; it knows the letters of this encoding, and the library knows how wide each of them is.
FONT, ENCODING = "Helvetica", "cp1252"
# Points: the margin of a page, the first column of a table, the widest that any other column gets, and a gap.
MARGIN, FIRST_COLUMN, COLUMN, GAP = 54, 210.0, 120.0, 4.0
LEADING = 1.35


class Paper(FPDF):
    """A document on letter paper in landscape, written from top to bottom."""

    def __init__(self, title: str, release: Release, language: str) -> None:
        super().__init__("landscape", "pt", "letter")
        self.core_fonts_encoding = ENCODING
        # The file tells when the table was published, not when the file was made: the same input gives the same bytes.
        self.set_creation_date(release.published_at)
        self.set_title(title)
        self.set_lang(language)
        self.set_margin(MARGIN)
        self.set_auto_page_break(True, MARGIN)
        self.add_page()

    def row(self, cells: Sequence[tuple[float, str]], size: float = 9, style: str = "") -> None:
        """Write cells beside each other, each given as its width and its text; on a new page if this one is full."""
        self.set_font(FONT, style, size)
        wrapped = [self._wrap(text, width - GAP) for width, text in cells]
        height = LEADING * size * max(map(len, wrapped))
        if self.will_page_break(height):
            self.add_page()
        left = self.l_margin
        for (width, _), parts in zip(cells, wrapped, strict=True):
            for down, part in enumerate(parts):
                self.text(left, self.y + size + LEADING * size * down, part)
            left += width
        self.y += height

    def paragraph(self, text: str, size: float = 9, style: str = "") -> None:
        """Write text across the page."""
        self.row([(self.epw, text)], size, style)

    def rule(self) -> None:
        """Draw a thin rule across the page."""
        self.set_line_width(0.5)
        self.line(self.l_margin, self.y + 2, self.l_margin + self.epw, self.y + 2)
        self.y += 4

    def _wrap(self, text: str, width: float) -> list[str]:
        """Split text between words so that each part fits the width; a word that is wider stands alone."""
        # The font lacks the narrow space that French writes between digits; a wider one stands for it.
        first, *others = text.replace("\u202f", "\xa0").split(" ")
        parts = [first]
        for word in others:
            longer = f"{parts[-1]} {word}"
            if self.get_string_width(longer) <= width:
                parts[-1] = longer
            else:
                parts.append(word)
        return parts


def document(release: Release, table: Table, language: str) -> bytes:
    """Return the table as a PDF file: always the same bytes for the same publication."""
    labels, sentences = Labels(language, release.plan), catalogue(language)
    note = sentences.gettext("Numbers are rounded. What is not shown could give somebody away, or protects others.")
    paper = Paper(f"{release.id} {labels.table(table.id)}", release, language)
    paper.paragraph(labels.table(table.id), 15, "B")
    paper.paragraph(labels.period(release.period))
    paper.paragraph(note)
    paper.paragraph(f"{release.id}, {table.id}, {release.bundle}", 7)
    for part in pivots.parts(table):
        paper.ln(9)
        for name, code in part.items():
            paper.paragraph(labels.code(name, code), 11, "B")
        _grid(paper, pivots.counts(table, part), labels)
    return bytes(paper.output())


def _grid(paper: Paper, grid: Grid, labels: Labels) -> None:
    width = min(COLUMN, (paper.epw - FIRST_COLUMN) / len(grid.columns))
    heads = [(width, labels.header(column.head)) for column in grid.columns]
    paper.row([(FIRST_COLUMN, labels.dimension(grid.rows[0][0])), *heads], 8, "B")
    paper.rule()
    for row, values in zip(grid.rows, grid.cells, strict=True):
        texts = [labels.value(column, value) for column, value in zip(grid.columns, values, strict=True)]
        paper.row([(FIRST_COLUMN, labels.header(row)), *((width, text) for text in texts)])
