"""A browser gets an error page, the same for every missing address; programs get JSON."""

import pytest
from starlette.testclient import TestClient

from tests.support.report_pages import HOME, read_page

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
# Addresses of nothing; of publications that were never made, or not published; of tables that a publication lacks.
ABSENT = [
    "/mistyped",
    "/r/2031",
    "/r/2027-Q2",
    "/r/2031/R1",
    "/r/2026/mistyped",
    "/r/2026-Q1/R99",
    "/R99",
    "/a/b/c",
    "/r/",
]
TOLD = {"en": "There is no page here", "fr": "Il n’y a pas de page ici"}
PROBLEM = "application/problem+json"


@pytest.mark.parametrize("language", TOLD)
def test_every_missing_address_returns_the_same_page(web: TestClient, language: str) -> None:
    answers = [web.get(f"{HOME}/{language}{path}", headers=BROWSER) for path in ABSENT]
    assert len({(answer.status_code, answer.content, tuple(answer.headers.items())) for answer in answers}) == 1
    [page] = [read_page(answer.text) for answer in answers[:1]]
    assert (answers[0].status_code, answers[0].headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert TOLD[language] in answers[0].text
    assert answers[0].headers["cache-control"] == "no-store"
    for link in set(page.links) - {"#main"}:
        assert web.get(link, headers=BROWSER).status_code in {200, 307}, link


@pytest.mark.parametrize("path", ["/de", "/de/archive", "/files/none.css", "/mistyped/R1", "/EN/"])
@pytest.mark.parametrize(("accepted", "language"), [("fr-CA, en;q=0.5", "fr"), ("de", "en"), ("", "en")])
def test_browser_language_is_used_where_the_address_has_none(
    web: TestClient, path: str, accepted: str, language: str
) -> None:
    answer = web.get(f"{HOME}{path}", headers={**BROWSER, "accept-language": accepted})
    assert (answer.status_code, f'<html lang="{language}"' in answer.text) == (404, True)


def test_wrong_method_returns_a_page_too(web: TestClient) -> None:
    answer = web.post(f"{HOME}/fr/archive", headers=BROWSER)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert TOLD["fr"] in answer.text


@pytest.mark.parametrize("path", ["/v1", "/v1/nothing", "/v1/publications/2031/certificate.json"])
def test_programs_get_json_from_any_client(web: TestClient, path: str) -> None:
    answer = web.get(f"{HOME}{path}", headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)


@pytest.mark.parametrize("path", ["/en/mistyped", "/fr/r/2031", "/nothing"])
def test_request_without_html_gets_json(web: TestClient, path: str) -> None:
    answer = web.get(f"{HOME}{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)
