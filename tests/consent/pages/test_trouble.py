"""A browser that asks for what is no page of hers reads so on a page, which says nothing of her; programs read JSON."""

import httpx2
import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError

from tests.support.consent import House
from tests.support.visitor import NewVisitor

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
SOME_ID = "00000000-0000-4000-8000-000000000000"
MISTYPED = ["/my/pst", "/my/past/", "/my/yes/one/more", "/my/files/none.css", "/my/v2", "/my//past"]
PROBLEM = "application/problem+json"


def ask(house: House, path: str, method: str = "GET", **headers: str) -> httpx2.Response:
    return house.http.request(method, house.url + path, headers={**BROWSER, **headers})


@pytest.mark.parametrize(
    ("language", "told"), [("en", "There is nothing here. It may be gone already."), ("fr-CA", "Il n’y a rien ici.")]
)
@pytest.mark.parametrize("path", MISTYPED)
def test_a_mistyped_address_is_answered_by_a_page_in_the_browsers_language(
    house: House, path: str, language: str, told: str
) -> None:
    answer = ask(house, path, **{"accept-language": language})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert told in answer.text
    assert '<form id="leave"' in answer.text
    assert path not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", MISTYPED)
def test_it_looks_the_same_with_a_session_of_hers_with_a_false_one_and_without(house: House, path: str) -> None:
    hers = house.session(house.person(language="fr"))
    answers = [ask(house, path, **given) for given in ({}, {"cookie": f"s={hers}"}, {"cookie": "s=none"})]
    assert len({(answer.status_code, answer.content, *sorted(answer.headers)) for answer in answers}) == 1


def test_an_act_that_is_opened_like_a_page_is_none_and_says_how_it_is_done(house: House, arrive: NewVisitor) -> None:
    answer = ask(house, "/my/pause")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert "There is nothing here." in answer.text
    assert arrive().get("/my/pause").response.headers["content-type"] == PROBLEM, "it asked for no page"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/my/v1/nothing", 404),
        ("GET", "/my/v1", 405),
        ("GET", "/my/v1/grants", 401),
        ("DELETE", f"/my/v1/grants/{SOME_ID}", 401),
        ("PUT", "/my/v1/session", 405),
        ("GET", "/consent/nothing", 404),
        ("GET", "/consent/v1/openings", 405),
    ],
)
def test_programs_get_json_from_any_client(house: House, method: str, path: str, status: int) -> None:
    answer = ask(house, path, method)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert answer.json()["status"] == status


def test_where_an_answer_was_lost_she_is_not_told_that_nothing_was_changed(house: House, arrive: NewVisitor) -> None:
    """The database kept her yes, and the line broke before it could say so: she would think that nothing is shared."""
    person = house.person()
    visitor = arrive(token=house.session(person, stepped_up=True))
    page = visitor.get("/my/counted")

    def lose_the_answer(connection: Connection) -> None:
        connection.connection.commit()
        raise OperationalError("COMMIT", None, ConnectionError())

    event.listen(house.context.database.engine, "commit", lose_the_answer)
    try:
        seen = visitor.send(page, "/my/counted/yes")
    finally:
        event.remove(house.context.database.engine, "commit", lose_the_answer)
    assert (seen.status, "statistics.on" in house.kinds(person)) == (503, True)
    assert "Nothing was changed." not in seen.text
    assert "look first if it is done" in seen.text
