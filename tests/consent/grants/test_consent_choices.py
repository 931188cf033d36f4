"""One consent request about several agencies: she chooses one or none, it counts once, and nothing tells whom she chose."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from services.common.errors import Problem
from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Answer, Wish
from services.consent.models import consent_request
from services.consent.models import grant as grant_table
from tests.support.consent import Agency, House, Person, change_standing

WISH = {"purpose": "referral", "categories": ["contact"]}
REQUESTS = "/consent/v1/consent-requests"


def ask(house: House, asking: Agency, person: Person, *among: Agency, **changed: Any) -> UUID:
    body = {"ppid": person.ppid, "agencies": [one.id for one in among], **WISH, **changed}
    told = house.call(asking, REQUESTS, body)
    assert told.status_code == 201, told.text
    return UUID(told.json()["request"])


def meet(house: House, number: int = 3) -> tuple[Agency, Person, list[Agency]]:
    asking = house.agency("ngo")
    return asking, house.person(asking), [house.agency() for _ in range(number)]


def answer(house: House, person: Person, request: UUID, **said: Any) -> Any:
    token = house.session(person, stepped_up=True)
    return house.my("POST", f"/requests/{request}", token, {"accept": True, **said})


def given(house: House, person: Person) -> list[str]:
    return [row.agency for row in house.rows(grant_table, grant_table.c.subject_id == person.subject)]


def test_her_yes_makes_one_grant_to_the_agency_she_chose(house: House) -> None:
    asking, person, among = meet(house)
    request = ask(house, asking, person, *among)
    [shown] = house.my("GET", "/requests", house.session(person)).json()["requests"]
    assert (shown["agency"], shown["choices"]) == (None, sorted(one.id for one in among))
    told = answer(house, person, request, agency=among[1].id)
    assert told.status_code == 200
    assert given(house, person) == [among[1].id]
    [kept] = house.rows(consent_request, consent_request.c.id == request)
    assert (kept.agency, kept.accepted) == (among[1].id, True)
    assert answer(house, person, request, agency=among[2].id).status_code == 404, "she has answered"


@pytest.mark.parametrize("chosen", [None, "", "agency-nobodyhere", "asking"])
def test_yes_without_one_of_the_choices_gives_nothing(house: House, chosen: str | None) -> None:
    asking, person, among = meet(house)
    request = ask(house, asking, person, *among)
    told = answer(house, person, request, agency=asking.id if chosen == "asking" else chosen)
    assert (told.status_code, told.json()["errors"][0]["member"]) == (400, "/agency")
    assert given(house, person) == []
    assert answer(house, person, request, agency=among[0].id).status_code == 200, "it waits as before"


def test_yes_to_a_single_request_names_no_other_agency(house: House) -> None:
    asking, person, (one, other, _) = meet(house)
    request = linked_acts.ask(house.context, asking.id, person.ppid, Wish(one.id, "referral", ["contact"]))
    assert answer(house, person, request, agency=other.id).status_code == 400
    assert answer(house, person, request).status_code == 200
    assert given(house, person) == [one.id]


def test_not_now_to_several_gives_nothing(house: House) -> None:
    asking, person, among = meet(house)
    request = ask(house, asking, person, *among)
    grants.answer_request(house.context, person.subject, request, Answer(accept=False))
    assert given(house, person) == []
    [kept] = house.rows(consent_request, consent_request.c.id == request)
    assert (kept.agency, kept.accepted) == (None, False)


def test_request_for_several_counts_as_one(house: House) -> None:
    asking, person, among = meet(house)
    first = ask(house, asking, person, *among)
    assert ask(house, asking, person, *reversed(among)) == first, "the same choices in another order"
    for category in ("health", "legal", "housing", "family"):
        ask(house, asking, person, *among, categories=[category])
    with pytest.raises(Problem, match="429"):
        linked_acts.ask(house.context, asking.id, person.ppid, Wish(among[0].id, "referral", ["culture"]))


def test_repeated_request_for_several_hides_whom_she_chose(house: House) -> None:
    asking, silent, among = meet(house)
    willing, unwilling = house.person(asking), house.person(asking)
    first = {person.subject: ask(house, asking, person, *among) for person in (silent, willing, unwilling)}
    answer(house, willing, first[willing.subject], agency=among[0].id)
    grants.answer_request(house.context, unwilling.subject, first[unwilling.subject], Answer(accept=False))
    for person in (silent, willing, unwilling):
        assert ask(house, asking, person, *among) == first[person.subject]


def test_texts_of_several_bind_the_chosen_grant(house: House) -> None:
    asking, person, among = meet(house)
    text = {"needs": "Would like to see a nurse this week."}
    request = ask(house, asking, person, *among, categories=["health"], drafts={"health": text})
    assert answer(house, person, request, agency=among[2].id).status_code == 200
    [kept] = house.rows(grant_table, grant_table.c.subject_id == person.subject)
    assert (kept.agency, kept.only_this, kept.categories) == (among[2].id, True, ["health"])


def test_agency_suspended_meanwhile_cannot_be_chosen(house: House) -> None:
    asking, person, among = meet(house)
    request = ask(house, asking, person, *among)
    change_standing(house.context, among[0].id, "housing", "suspended", 2)
    assert answer(house, person, request, agency=among[0].id).status_code == 400
    assert answer(house, person, request, agency=among[1].id).status_code == 200


def test_entry_of_the_ledger_names_every_choice(house: House) -> None:
    asking, person, among = meet(house)
    ask(house, asking, person, *among)
    [entry] = [row for row in house.ledger(person) if row.kind == "request.made"]
    assert entry.detail["one_of"] == sorted(one.id for one in among)
    assert "for" not in entry.detail


@pytest.mark.parametrize(
    "changed",
    [
        {"agencies": None},
        {"agency": "first"},
        {"agencies": ["first"]},
        {"agencies": []},
        {"agencies": ["first"] * 11},
        {"agencies": ["first", "agency-nobodyhere"]},
        {"agencies": ["first", "x" * 65]},
        {"agencies": ["first", 1]},
    ],
)
def test_wrong_choices_are_refused_and_show_her_nothing(house: House, changed: dict[str, Any]) -> None:
    asking, person, among = meet(house)
    body = {"ppid": person.ppid, "agencies": [one.id for one in among], **WISH, **changed}
    for member in ("agency", "agencies"):
        value = body.get(member)
        if isinstance(value, list):
            body[member] = [among[0].id if one == "first" else one for one in value]
        elif value == "first":
            body[member] = among[0].id
    told = house.call(asking, REQUESTS, body)
    assert told.status_code in {400, 422}
    assert told.json()["errors"]
    assert house.rows(consent_request, consent_request.c.subject_id == person.subject) == []


def test_stranger_that_asks_about_several_gets_the_one_404(house: House) -> None:
    _, person, among = meet(house)
    stranger = house.agency()
    body = {"agencies": [one.id for one in among], **WISH}
    told = [house.call(stranger, REQUESTS, {**body, "ppid": name}) for name in (person.ppid, f"p-{uuid4().hex}")]
    assert [one.status_code for one in told] == [404, 404]
    assert told[0].content == told[1].content
