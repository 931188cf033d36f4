"""Report pages in Chromium: WCAG 2.2 A and AA, enlarged four times, without scripts, by keyboard, and on paper."""

import io
import re

import pypdf
import pytest
from playwright.sync_api import Browser, Page, ViewportSize

from tests.support.axe import faults
from tests.support.published_quarter import QUARTER as QUARTER_OUT
from tests.support.report_pages import HOME, LANGUAGES, SPACES, counted, expected, read_page
from tests.support.shelves import drafts

YEAR, QUARTER = drafts()[2], drafts()[3]
TABLES = [*(f"/r/{YEAR.id}/{name}" for name in YEAR.tables), *(f"/r/{QUARTER.id}/{name}" for name in QUARTER.tables)]
NOWHERE = "/mistyped"
OTHERS = ["/", NOWHERE, "/method", "/archive", "/R6", f"/r/{YEAR.id}", f"/r/{YEAR.id}/quality"]
# A sheet of letter paper between its margins, in CSS pixels.
PAPER = ViewportSize(width=740, height=980)
SUBJECTS = [f"/r/{YEAR.id}/R1", f"/r/{YEAR.id}/toronto", f"/r/{QUARTER.id}/F17"]


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_enlarged_report_pages_are_accessible(chromium: Browser, reports: str, language: str) -> None:
    """Only wide tables and charts scroll sideways, each in an element that the keyboard reaches."""
    context = chromium.new_context(viewport={"width": 320, "height": 256}, device_scale_factor=4)
    page, wrong = context.new_page(), {}
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in [*TABLES, *OTHERS, *SUBJECTS]:
        answer = page.goto(f"{reports}{HOME}/{language}{path}")
        assert answer is not None
        assert answer.status == (404 if path == NOWHERE else 200), path
        if found := [*faults(page), *too_wide(page), *out_of_reach(page)]:
            wrong[path] = found
    context.close()
    assert wrong == {}
    assert [url for url in asked if not url.startswith(f"{reports}/")] == []


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_released_tables_match_their_files_and_are_accessible(chromium: Browser, released: str, language: str) -> None:
    """Checked on a publication that the workflow released."""
    context = chromium.new_context(viewport={"width": 320, "height": 256}, device_scale_factor=4)
    page, wrong, told = context.new_page(), {}, set()
    [publication] = context.request.get(f"{released}{HOME}/v1/publications").json()["publications"]
    names = [name.removesuffix(".json") for name in publication["files"] if name.endswith(".json")]
    for name in names:
        document = context.request.get(f"{released}{HOME}/v1/publications/{QUARTER_OUT}/{name}.json").json()
        page.goto(f"{released}{HOME}/{language}/r/{QUARTER_OUT}/{name.removeprefix('tables/')}")
        wanted = [[row, *values] for (_, row), values in expected(document, language).items()]
        shown = [[row[0], *(cell.translate(SPACES) for cell in row[1:])] for row in seen(page, language)[: len(wanted)]]
        assert sorted(shown) == sorted(wanted), name
        told |= {row[-1] for row in document["rows"]}
        if found := [*faults(page), *too_wide(page), *out_of_reach(page)]:
            wrong[name] = found
    context.close()
    assert wrong == {}
    assert len(names) > 3
    assert "x" in told
    assert len(told) > 5, "some numbers are shown"


def seen(page: Page, language: str) -> list[list[str]]:
    """Return the rows of counts that a page shows."""
    return counted(read_page(page.content()), language)


def too_wide(page: Page) -> list[str]:
    """List widths at which the page scrolls sideways: 320 pixels, and 360 enlarged twice."""
    found = []
    for width in (180, 320):
        page.set_viewport_size({"width": width, "height": 256})
        needed = page.evaluate("document.scrollingElement.scrollWidth")
        found += [f"{needed} pixels wide on {width}"] if needed > width else []
    return found


def out_of_reach(page: Page) -> list[str]:
    """List elements that scroll sideways but have no name or cannot be reached by the keyboard."""
    return list(
        page.evaluate(
            """() => [...document.querySelectorAll('*')]
              .filter(mark => mark.scrollWidth > mark.clientWidth + 1 && getComputedStyle(mark).overflowX === 'auto')
              .filter(mark => mark.tabIndex !== 0 || !mark.ariaLabel)
              .map(mark => mark.outerHTML.slice(0, 60))"""
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_table_fits_on_paper_without_screen_parts(chromium: Browser, reports: str, language: str) -> None:
    context = chromium.new_context(java_script_enabled=False, viewport=PAPER)
    page, wrong = context.new_page(), {}
    page.emulate_media(media="print")
    for path in TABLES:
        page.goto(f"{reports}{HOME}/{language}{path}")
        assert page.locator("tbody td:visible").count() > 0, path
        if found := missing_on_paper(page):
            wrong[path] = found
    context.close()
    assert wrong == {}


def missing_on_paper(page: Page) -> list[str]:
    """List cells that are hidden or cut off, and screen-only parts that are shown."""
    return list(
        page.evaluate(
            """() => {
              const width = document.documentElement.clientWidth
              const cells = [...document.querySelectorAll('main th, main td')].filter(mark =>
                !mark.checkVisibility() || mark.getBoundingClientRect().right > width + 1)
              const screen = [...document.querySelectorAll('header, .downloads')].filter(mark => mark.checkVisibility())
              return [...cells, ...screen].map(mark => mark.outerHTML.slice(0, 60))
            }"""
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_printed_table_has_every_number_and_no_screen_parts(chromium: Browser, reports: str, language: str) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    for name in ("need-city", "need-city-result", "need-stage-result"):
        page.goto(f"{reports}{HOME}/{language}/r/{YEAR.id}/{name}")
        cells = [text for cell in page.locator("tbody tr").all_inner_texts() for text in cell.split("\t")]
        paper = pypdf.PdfReader(io.BytesIO(page.pdf(format="Letter")))
        printed = squeezed("".join(sheet.extract_text() for sheet in paper.pages))
        assert [cell for cell in cells if squeezed(cell) not in printed] == []
        numbers = [cell for cell in cells if re.fullmatch(r"[\d\W]+", cell)]
        assert len(numbers) > 40
        page.emulate_media(media="print")
        assert not page.locator("header, .downloads").first.is_visible()
        assert page.locator("table").first.is_visible()
        page.emulate_media(media="screen")
    context.close()


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def test_report_page_works_by_keyboard_with_visible_focus(chromium: Browser, reports: str) -> None:
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 320, "height": 640})
    page = context.new_page()
    page.goto(f"{reports}{HOME}/en/r/{YEAR.id}/need-city")
    page.keyboard.press("Tab")
    assert page.locator(".skip").evaluate("mark => mark === document.activeElement")
    page.keyboard.press("Enter")
    table = page.locator(".scroll").last
    for _ in range(30):
        page.keyboard.press("Tab")
        if table.evaluate("mark => mark === document.activeElement"):
            break
    assert table.evaluate("mark => getComputedStyle(mark).outlineStyle") != "none"
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    assert table.evaluate("mark => mark.scrollLeft") > 0
    context.close()
