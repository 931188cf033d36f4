"""Pages that are made of a publication's bytes alone, and so are always the same for the same publications."""

import json

from services.reporting.pages import charts, subjects
from services.reporting.pages.grids import COUNT, SHARE, Column, Grid, column
from services.reporting.pages.holdings import Holdings, Releases, history, revision
from services.reporting.pages.languages import Words, templates
from services.reporting.pages.shelf import Release
from services.reporting.pages.subjects import FAMILY, RECOMMENDATION, REGION, TABLE

HOME = "/reporting"
SORTS = (RECOMMENDATION, REGION, FAMILY, TABLE)


def contents(_holdings: Holdings, releases: Releases, release: Release, language: str) -> bytes:
    """What a publication holds: everything that a page can be about and that it has numbers for."""
    held = {
        sort: [name for name in subjects.subjects(sort, release.plan) if subjects.tables(release, name)]
        for sort in SORTS
    }
    return _page("contents.html", releases, release, language, path="", held=held)


def subject_page(holdings: Holdings, releases: Releases, release: Release, language: str, subject: str) -> bytes:
    """What a publication says of one subject."""
    words = Words(language, release.plan)
    return _page(
        "subject.html",
        releases,
        release,
        language,
        path=f"/{subject}",
        subject=subject,
        sort=subjects.kind(subject, release.plan),
        blocks=subjects.blocks(holdings, releases, release, subject, words),
        periods=[each for each in history(releases, release) if subjects.tables(each, subject)],
    )


def quality(holdings: Holdings, releases: Releases, release: Release, language: str) -> bytes:
    """How much of a publication is hidden, who checked it, and how."""
    tables = [holdings.table(release, name) for name in release.tables]
    columns = (
        Column(COUNT, ("quality", "cells")),
        Column(COUNT, ("quality", "hidden")),
        Column(SHARE, ("indicator", "X2")),
    )
    cells = [(len(table.cells), table.hidden()) for table in tables]
    rows = tuple(("table", table.id) for table in tables)
    grid = Grid(rows, columns, tuple((all_, hidden, str(round(100 * hidden / all_))) for all_, hidden in cells))
    return _page(
        "quality.html",
        releases,
        release,
        language,
        path="/quality",
        grid=grid,
        chart=charts.draw(column(grid, 2), Words(language, release.plan)),
        total=(sum(all_ for all_, _ in cells), sum(hidden for _, hidden in cells)),
        certificate=json.loads(holdings.file(release.id, "certificate.json")),
    )


def _page(template: str, releases: Releases, release: Release, language: str, **values: object) -> bytes:
    shown = {"release": release, "revision": revision(releases, release), "words": Words(language, release.plan)}
    return templates(language).get_template(template).render(home=HOME, **shown, **values).encode()
