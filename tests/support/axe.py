"""Accessibility faults of a page by axe-core, at WCAG 2.2 levels A and AA."""

from collections.abc import Mapping

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]}


CONTRAST = {"type": "rule", "values": ["color-contrast"]}
AXE = Axe()


def faults(page: Page, rules: Mapping[str, object] = RULES) -> list[str]:
    """Return each fault as the broken rule and the elements that break it."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.axe_script)
    # Everything is checked; only what is wrong is described element by element.
    found = page.evaluate("wanted => axe.run(wanted)", {"runOnly": rules, "resultTypes": ["violations"]})
    assert found["passes"], "axe looked at nothing"
    return [f"{fault['id']}: {[node['target'] for node in fault['nodes']]}" for fault in found["violations"]]
