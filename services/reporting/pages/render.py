"""Renders pages from their arguments alone: equal publications and live facts give equal bytes."""

import json

import schemas
from services.common.http.i18n import LANGUAGES
from services.reporting.pages import charts, page_topics
from services.reporting.pages.catalogue import Holdings, Releases, history, latest, revision
from services.reporting.pages.data_source import Live, Release
from services.reporting.pages.labels import Labels, templates
from services.reporting.pages.page_topics import FAMILY, PLAN, RECOMMENDATION, REGION, TABLE
from services.reporting.pages.pivots import COUNT, SHARE, Column, Grid, column

HOME = "/reporting"
SORTS = (RECOMMENDATION, REGION, FAMILY, TABLE)


def prefetch(holdings: Holdings) -> None:
    """Refresh the publications and live facts, and render what shows them, so that the next reader waits for neither."""
    live, releases = holdings.live.refresh(), holdings.releases.refresh()
    for language in LANGUAGES:
        holdings.make_live(overview, live, releases, language)


def overview(holdings: Holdings, live: Live, releases: Releases, language: str) -> bytes:
    """Return the overview: what there is to read, and what services can take now."""
    return _render(language, "overview.html", gaps=holdings.make(gaps, releases, language).decode(), live=live)


def gaps(holdings: Holdings, releases: Releases, language: str) -> bytes:
    """Return the part of the overview that changes with publications only."""
    newest = latest(releases)
    labels = Labels(language, newest.plan if newest else PLAN)
    people = page_topics.newest(releases, "people")
    return _render(
        language,
        "gaps.html",
        labels=labels,
        newest=newest,
        names={sort: page_topics.subjects(sort, labels.plan) for sort in SORTS},
        people=people,
        blocks=page_topics.blocks(holdings, releases, people, "people", labels) if people else [],
    )


def method(_holdings: Holdings, language: str) -> bytes:
    """Return the page on method: what is hidden and why, and how people are counted."""
    plan, rules = schemas.plan(PLAN), schemas.rules(PLAN)
    return _render(language, "method.html", labels=Labels(language, PLAN), plan=plan, rules=rules)


def archive(_holdings: Holdings, releases: Releases, language: str) -> bytes:
    """Return the page that lists every publication."""
    return _render(language, "archive.html", labels=Labels(language, PLAN), releases=releases)


def none_yet(_holdings: Holdings, language: str, subject: str, sort: str) -> bytes:
    """Return the page that says that no publication has anything on a topic yet."""
    indicators = page_topics.catalogue(subject)
    return _render(
        language, "none_yet.html", labels=Labels(language, PLAN), subject=subject, sort=sort, indicators=indicators
    )


def trouble(language: str, status: int) -> bytes:
    """Return the page for an error: the address does not exist, or is not available now."""
    return _render(language, "trouble.html", status=status)


def contents(_holdings: Holdings, releases: Releases, release: Release, language: str) -> bytes:
    """Return the contents of a publication: every topic that it has numbers for."""
    held = {
        sort: [name for name in page_topics.subjects(sort, release.plan) if page_topics.tables(release, name)]
        for sort in SORTS
    }
    return _page("contents.html", releases, release, language, path="", held=held)


def subject_page(holdings: Holdings, releases: Releases, release: Release, language: str, subject: str) -> bytes:
    """Return the page of one topic in a publication."""
    labels = Labels(language, release.plan)
    return _page(
        "subject.html",
        releases,
        release,
        language,
        path=f"/{subject}",
        subject=subject,
        sort=page_topics.kind(subject, release.plan),
        blocks=page_topics.blocks(holdings, releases, release, subject, labels),
        periods=[each for each in history(releases, release) if page_topics.tables(each, subject)],
    )


def quality(holdings: Holdings, releases: Releases, release: Release, language: str) -> bytes:
    """Return the page on data quality: how much of a publication is hidden, who checked it, and how."""
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
        chart=charts.draw(column(grid, 2), Labels(language, release.plan)),
        total=(sum(all_ for all_, _ in cells), sum(hidden for _, hidden in cells)),
        certificate=json.loads(holdings.file(release, "certificate.json")),
    )


def _page(template: str, releases: Releases, release: Release, language: str, **values: object) -> bytes:
    shown = {"release": release, "revision": revision(releases, release), "labels": Labels(language, release.plan)}
    return _render(language, template, **shown, **values)


def _render(language: str, template: str, **values: object) -> bytes:
    return templates(language).get_template(template).render(home=HOME, **values).encode()
