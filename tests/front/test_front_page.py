"""The front page: the ways in, in both languages, with safe headers, no search engine, and for everybody."""

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from services.common.http.i18n import LANGUAGES
from services.common.http.server import ByPrefix
from services.front.main import DOCUMENTS, PREFIXES, build
from tests.support.catalogues import OTHERS, amiss, outside, unlike

FOLDER = Path(str(files("services.front")))
WAYS = {"en": ["My page", "Reports", "For developers"], "fr": ["Ma page", "Rapports", "Pour les développeurs"]}
# What the hub is for must not be read over a shoulder.
TELLING = re.compile(r"traffick|traite|surviv|victim|consent|referral|shelter|refuge", re.IGNORECASE)
PAGES = ["/", *(f"/{language}" for language in LANGUAGES), *(f"/developers/{language}" for language in LANGUAGES)]


@pytest.fixture
def front() -> Iterator[TestClient]:
    """A client of the front page as a hub serves it: by prefix, beside nothing else."""
    with TestClient(ByPrefix(dict.fromkeys(PREFIXES, build())), base_url="http://127.0.0.1:8080") as client:
        yield client


@pytest.mark.parametrize(
    ("accepted", "language"), [("fr-CA,fr;q=0.9", "fr"), ("en", "en"), ("", "en"), ("de, fr;q=0.5", "fr")]
)
def test_front_page_speaks_the_language_of_the_browser(front: TestClient, accepted: str, language: str) -> None:
    answer = front.get("/", headers={"accept-language": accepted})
    assert (answer.status_code, answer.headers["vary"]) == (200, "Accept-Language")
    assert f'<html lang="{language}"' in answer.text
    assert all(way in answer.text for way in WAYS[language])


@pytest.mark.parametrize("language", LANGUAGES)
def test_front_page_links_to_each_way_in(front: TestClient, language: str) -> None:
    links = re.findall(r'<li><a href="([^"]+)"(?! hreflang)', front.get(f"/{language}").text)
    assert links == [f"/my?l={language}", f"/reporting/{language}/", f"/developers/{language}"]


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_neutral_small_and_carry_safe_headers(front: TestClient, path: str) -> None:
    answer = front.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert len(answer.content) < 30_000
    assert "<title>Fireweed</title>" in answer.text
    if not path.startswith("/developers"):
        assert TELLING.findall(re.sub(r"<[^>]*>", " ", answer.text)) == []


def test_robots_are_told_to_read_nothing(front: TestClient) -> None:
    assert front.get("/robots.txt").text == "User-agent: *\nDisallow: /\n"


@pytest.mark.parametrize("path", ["/icon.svg", "/favicon.ico"])
def test_icon_exists_where_browsers_expect_it(front: TestClient, path: str) -> None:
    answer = front.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.content.startswith(b"<svg")


@pytest.mark.parametrize(("accepted", "language"), [("fr-CA", "fr"), ("", "en")])
def test_developers_page_redirects_to_a_language(front: TestClient, accepted: str, language: str) -> None:
    answer = front.get("/developers", headers={"accept-language": accepted}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, f"/developers/{language}")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_developers_get_the_openapi_document_of_each_service(front: TestClient, name: str) -> None:
    assert f'href="/developers/openapi/{name}.json"' in front.get("/developers/en").text
    assert front.get(f"/developers/openapi/{name}.json").json()["openapi"].startswith("3.")


@pytest.mark.parametrize(
    "path", ["/de", "/developers/de", "/developers/openapi/other.json", "/front", "/en/more", "/static"]
)
def test_unknown_path_returns_404_problem(front: TestClient, path: str) -> None:
    answer = front.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("language", OTHERS)
def test_catalogue_has_every_sentence_and_no_other(language: str) -> None:
    assert amiss(FOLDER, language) == set()
    assert unlike(FOLDER, language) == []
    assert set().union(*(outside(path) for path in (FOLDER / "templates").glob("*.html"))) == {"Fireweed"}
