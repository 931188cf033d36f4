"""Makes a published table into an XLSX file: its codes and their names in each language, its shares, and its source."""

from collections.abc import Iterable, Sequence
from io import BytesIO

from xlsxwriter import Workbook

from services.common.http.i18n import LANGUAGES
from services.reporting.pages.data_source import Release
from services.reporting.pages.labels import Labels, catalogue
from services.reporting.pages.published_table import HIDDEN, Table

Row = Sequence[object]


def workbook(release: Release, table: Table) -> bytes:
    """Return the table as an XLSX file: always the same bytes for the same publication."""
    made = BytesIO()
    book = Workbook(made, {"in_memory": True})
    book.set_properties({"title": f"{table.publication} {table.id}", "created": release.published_at})
    labels = [Labels(language, release.plan) for language in LANGUAGES]
    for title, rows in (
        ("Numbers – Nombres", _numbers(table, labels)),
        ("Shares – Proportions", _shares(table, labels)),
        ("About – À propos", _about(release, table, labels)),
    ):
        sheet = book.add_worksheet(title)
        for down, row in enumerate(rows):
            for across, value in enumerate(row):
                # The type is given, so that no program ever takes text for a formula.
                write = sheet.write_number if isinstance(value, int) else sheet.write_string
                write(down, across, value)
    book.close()
    return made.getvalue()


def _numbers(table: Table, labels: Sequence[Labels]) -> Iterable[Row]:
    yield [*_heads(table.dimensions, labels), "value"]
    for key, value in table.cells.items():
        yield [*_named(zip(table.dimensions, key, strict=True), labels), value]


def _shares(table: Table, labels: Sequence[Labels]) -> Iterable[Row]:
    for place, ratio in enumerate(table.ratios):
        if not place:
            yield ["indicator", *(label_set.language for label_set in labels), *_heads(ratio.cell, labels), "percent"]
        titles = [label_set.indicator(ratio.indicator) for label_set in labels]
        yield [ratio.indicator, *titles, *_named(ratio.cell.items(), labels), ratio.percent]


def _about(release: Release, table: Table, labels: Sequence[Labels]) -> Iterable[Row]:
    yield ["publication", release.id]
    yield ["table", table.id]
    yield ["plan", release.plan]
    yield ["rules", release.rules]
    yield ["sha256", release.bundle]
    for label_set in labels:
        yield [label_set.language, label_set.table(table.id)]
        yield [label_set.language, label_set.period(release.period)]
        yield [HIDDEN, catalogue(label_set.language).gettext("not shown")]


def _heads(dimensions: Iterable[str], labels: Sequence[Labels]) -> list[str]:
    return [head for name in dimensions for head in (name, *(label_set.dimension(name) for label_set in labels))]


def _named(cell: Iterable[tuple[str, str]], labels: Sequence[Labels]) -> list[str]:
    return [told for name, code in cell for told in (code, *(label_set.code(name, code) for label_set in labels))]
