"""A published table as XLSX: its codes and their names in each language, its shares, and where it comes from."""

from collections.abc import Iterable, Sequence
from io import BytesIO

from xlsxwriter import Workbook

from services.common.http.i18n import LANGUAGES
from services.reporting.pages.data_source import Release
from services.reporting.pages.labels import Labels, catalogue
from services.reporting.pages.published_table import HIDDEN, Table

Row = Sequence[object]


def workbook(release: Release, table: Table) -> bytes:
    """The table as a file, always the same bytes for the same publication."""
    made = BytesIO()
    book = Workbook(made, {"in_memory": True})
    book.set_properties({"title": f"{table.publication} {table.id}", "created": release.published_at})
    words = [Labels(language, release.plan) for language in LANGUAGES]
    for title, rows in (
        ("Numbers – Nombres", _numbers(table, words)),
        ("Shares – Proportions", _shares(table, words)),
        ("About – À propos", _about(release, table, words)),
    ):
        sheet = book.add_worksheet(title)
        for down, row in enumerate(rows):
            for across, value in enumerate(row):
                # Said to be text or a number, so that no program ever takes a word for a formula.
                write = sheet.write_number if isinstance(value, int) else sheet.write_string
                write(down, across, value)
    book.close()
    return made.getvalue()


def _numbers(table: Table, words: Sequence[Labels]) -> Iterable[Row]:
    yield [*_heads(table.dimensions, words), "value"]
    for key, value in table.cells.items():
        yield [*_named(zip(table.dimensions, key, strict=True), words), value]


def _shares(table: Table, words: Sequence[Labels]) -> Iterable[Row]:
    for place, ratio in enumerate(table.ratios):
        if not place:
            yield ["indicator", *(word.language for word in words), *_heads(ratio.cell, words), "percent"]
        titles = [word.indicator(ratio.indicator) for word in words]
        yield [ratio.indicator, *titles, *_named(ratio.cell.items(), words), ratio.percent]


def _about(release: Release, table: Table, words: Sequence[Labels]) -> Iterable[Row]:
    yield ["publication", release.id]
    yield ["table", table.id]
    yield ["plan", release.plan]
    yield ["rules", release.rules]
    yield ["sha256", release.bundle]
    for word in words:
        yield [word.language, word.table(table.id)]
        yield [word.language, word.period(release.period)]
        yield [HIDDEN, catalogue(word.language).gettext("not shown")]


def _heads(dimensions: Iterable[str], words: Sequence[Labels]) -> list[str]:
    return [head for name in dimensions for head in (name, *(word.dimension(name) for word in words))]


def _named(cell: Iterable[tuple[str, str]], words: Sequence[Labels]) -> list[str]:
    return [told for name, code in cell for told in (code, *(word.code(name, code) for word in words))]
