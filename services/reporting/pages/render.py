"""Pages, made of what they are given alone: always the same for the same publications and the same live facts."""

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
    """Look at what is published and declared, and make what shows it, so that whoever asks next waits for neither."""
    live, releases = holdings.live.look(), holdings.releases.look()
    for language in LANGUAGES:
        holdings.make_live(overview, live, releases, language)


def overview(holdings: Holdings, live: Live, releases: Releases, language: str) -> bytes:
    """What there is to read, and what services can take now."""
    return _render(language, "overview.html", gaps=holdings.make(gaps, releases, language).decode(), live=live)


def gaps(holdings: Holdings, releases: Releases, language: str) -> bytes:
    """The part of the overview that changes with publications only."""
    newest = latest(releases)
    words = Labels(language, newest.plan if newest else PLAN)
    people = page_topics.newest(releases, "people")
    return _render(
        language,
        "gaps.html",
        words=words,
        newest=newest,
        names={sort: page_topics.subjects(sort, words.plan) for sort in SORTS},
        people=people,
        blocks=page_topics.blocks(holdings, releases, people, "people", words) if people else [],
    )


def method(_holdings: Holdings, language: str) -> bytes:
    """What is hidden and why, and how people are counted."""
    plan, rules = schemas.plan(PLAN), schemas.rules(PLAN)
    return _render(language, "method.html", words=Labels(language, PLAN), plan=plan, rules=rules)


def archive(_holdings: Holdings, releases: Releases, language: str) -> bytes:
    """Every publication there is."""
    return _render(language, "archive.html", words=Labels(language, PLAN), releases=releases)


def none_yet(_holdings: Holdings, language: str, subject: str, sort: str) -> bytes:
    """Word that there is no publication yet that says something of a subject."""
    indicators = page_topics.catalogue(subject)
    return _render(
        language, "none_yet.html", words=Labels(language, PLAN), subject=subject, sort=sort, indicators=indicators
    )


def trouble(language: str, status: int) -> bytes:
    """Word that there is no such page, or that it cannot be had now."""
    return _render(language, "trouble.html", status=status)


def contents(_holdings: Holdings, releases: Releases, release: Release, language: str) -> bytes:
    """What a publication holds: everything that a page can be about and that it has numbers for."""
    held = {
        sort: [name for name in page_topics.subjects(sort, release.plan) if page_topics.tables(release, name)]
        for sort in SORTS
    }
    return _page("contents.html", releases, release, language, path="", held=held)


def subject_page(holdings: Holdings, releases: Releases, release: Release, language: str, subject: str) -> bytes:
    """What a publication says of one subject."""
    words = Labels(language, release.plan)
    return _page(
        "subject.html",
        releases,
        release,
        language,
        path=f"/{subject}",
        subject=subject,
        sort=page_topics.kind(subject, release.plan),
        blocks=page_topics.blocks(holdings, releases, release, subject, words),
        periods=[each for each in history(releases, release) if page_topics.tables(each, subject)],
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
        chart=charts.draw(column(grid, 2), Labels(language, release.plan)),
        total=(sum(all_ for all_, _ in cells), sum(hidden for _, hidden in cells)),
        certificate=json.loads(holdings.file(release, "certificate.json")),
    )


def _page(template: str, releases: Releases, release: Release, language: str, **values: object) -> bytes:
    shown = {"release": release, "revision": revision(releases, release), "words": Labels(language, release.plan)}
    return _render(language, template, **shown, **values)


def _render(language: str, template: str, **values: object) -> bytes:
    return templates(language).get_template(template).render(home=HOME, **values).encode()
