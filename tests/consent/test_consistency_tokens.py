"""Test the consistency token: no decision falls behind what an agency has seen; a token tells others nothing."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import httpx2

from services.consent import consistency_tokens
from services.consent.consistency_tokens import Known, Seen
from services.consent.handlers.accounts import links
from services.consent.handlers.grants import grants
from services.consent.models import subject
from tests.consent.test_authzen import ONE, question
from tests.support.consent import Agency, House, Person

OPENINGS = "/consent/v1/openings"


def call(house: House, agency: Agency, path: str, body: Any, *tokens: str) -> httpx2.Response:
    url = house.url + path
    headers = [*agency.headers("POST", url).items(), *(("consent-epoch", token) for token in tokens)]
    return house.http.post(url, json=body, headers=headers)


def evaluate(house: House, agency: Agency, person: Person, *tokens: str) -> httpx2.Response:
    return call(house, agency, ONE, question(agency, person.ppid), *tokens)


def go_back(house: House, person: Person, epoch: int) -> None:
    """Set her epoch back, as a restored backup or a lagging replica would; for a house that one test owns."""
    with house.context.database.transaction() as connection:
        connection.execute(subject.update().where(subject.c.id == person.subject).values(epoch=epoch))


def token_of(house: House, agency: Agency, person: Person) -> str:
    token: str = evaluate(house, agency, person).json()["context"]["consent_epoch"]
    return token


def known(house: House) -> tuple[Agency, Person]:
    agency = house.agency()
    person = house.person(agency)
    house.allow(person, agency)
    return agency, person


def test_each_consent_change_raises_the_epoch_by_one(house: House) -> None:
    agency, person = known(house)
    seen = [house.epoch(person)]
    name = house.allow(person, agency, "health")
    seen.append(house.epoch(person))
    restriction = grants.restrict(house.context, person.subject, grants.Rule(category="health"))
    seen.append(house.epoch(person))
    for act in (
        lambda: grants.lift_restriction(house.context, person.subject, restriction),
        lambda: grants.pause(house.context, person.subject),
        lambda: grants.resume(house.context, person.subject),
        lambda: grants.revoke_grant(house.context, person.subject, name),
        lambda: grants.revoke_all(house.context, person.subject),
    ):
        act()
        seen.append(house.epoch(person))

    assert seen == list(range(seen[0], seen[0] + len(seen)))


def test_decision_below_presented_token_returns_503(own_house: House) -> None:
    """Without the token, the same calls are decided on what the database knows."""
    agency, person = known(own_house)
    grants.pause(own_house.context, person.subject)
    grants.resume(own_house.context, person.subject)
    name = own_house.allow(person, agency, "health")
    # Sealed at epoch 0, so that only the token tells her present epoch.
    envelope = {"envelope": own_house.envelope(name, {"health": {"needs": "A nurse."}}, epoch=0)}
    token = token_of(own_house, agency, person)
    assert evaluate(own_house, agency, person, token).json()["decision"] is True
    assert call(own_house, agency, OPENINGS, envelope, token).status_code == 200
    go_back(own_house, person, 2)

    for path, body in ((ONE, question(agency, person.ppid)), (OPENINGS, envelope)):
        behind = call(own_house, agency, path, body, token)
        assert (behind.status_code, behind.headers["retry-after"]) == (503, "1")
        assert behind.json()["title"] == "The hub is catching up. Please try again in a moment."
        assert call(own_house, agency, path, body).status_code != 503
    batch = call(own_house, agency, OPENINGS, {"envelopes": [envelope["envelope"]] * 2}, token)
    assert [one["status"] for one in batch.json()["openings"]] == [503, 503]


def test_lagging_database_returns_503_to_a_newer_token(own_house: House) -> None:
    """The "new enemy" problem: she restricts first and tells something new afterwards.

    An agency that has seen the restriction cannot get the new part from a copy that has not seen it.
    """
    agency, person = known(own_house)
    token = token_of(own_house, agency, person)
    grants.restrict(own_house.context, person.subject, grants.Rule(category="health"))
    assert evaluate(own_house, agency, person, token).json()["decision"] is True
    newer = token_of(own_house, agency, person)
    go_back(own_house, person, 1)

    assert evaluate(own_house, agency, person, newer).status_code == 503
    assert evaluate(own_house, agency, person, token, newer).status_code == 503
    assert evaluate(own_house, agency, person, f"{newer}, {token}").status_code == 503
    assert evaluate(own_house, agency, person, token).status_code == 200


def test_openings_and_links_return_tokens_that_bound_decisions(own_house: House) -> None:
    agency, person = known(own_house)
    name = own_house.allow(person, agency, "housing")
    opened = own_house.open(agency, own_house.envelope(name, {"housing": {"needs": "A room."}})).json()
    newcomer = own_house.agency()
    code = links.make_link_code(own_house.context, person.subject).code
    linked = own_house.call(newcomer, "/consent/v1/links", {"link_code": code}).json()

    for token in (opened["consent_epoch"], linked["consent_epoch"]):
        present = Known(
            agency.id if token == opened["consent_epoch"] else newcomer.id, person.subject, own_house.epoch(person)
        )
        assert not consistency_tokens.read(own_house.context, [token]).is_ahead_of(own_house.context, present)
        older = replace(present, epoch=present.epoch - 1)
        assert consistency_tokens.read(own_house.context, [token]).is_ahead_of(own_house.context, older)
    assert evaluate(own_house, agency, person, opened["consent_epoch"]).status_code == 200
    go_back(own_house, person, 0)
    assert evaluate(own_house, agency, person, opened["consent_epoch"]).status_code == 503
    ask = call(own_house, newcomer, ONE, question(newcomer, linked["ppid"]), linked["consent_epoch"])
    assert ask.status_code == 503


def test_denied_evaluation_returns_no_token(house: House) -> None:
    agency, person = known(house)
    grants.revoke_all(house.context, person.subject)

    assert evaluate(house, agency, person).json()["context"]["consent_epoch"] is None


def test_tokens_of_two_agencies_for_one_survivor_are_unlinkable(house: House) -> None:
    one, two = house.agency(), house.agency()
    person = house.person(one)
    first, second = (
        consistency_tokens.issue(house.context, Known(agency.id, person.subject, 5)) for agency in (one, two)
    )

    assert not has_in_common(first, second)
    assert str(person.subject) not in first + second
    # A token of one agency sets no bound for another agency.
    assert not consistency_tokens.read(house.context, [first]).is_ahead_of(
        house.context, Known(two.id, person.subject, 1)
    )
    assert consistency_tokens.read(house.context, [first]).is_ahead_of(house.context, Known(one.id, person.subject, 4))
    assert not consistency_tokens.read(house.context, [first]).is_ahead_of(
        house.context, Known(one.id, person.subject, 5)
    )


def test_tokens_of_one_state_differ_as_those_of_two(house: House) -> None:
    """Neither their length nor any part of them tells whether something has changed in between."""
    agency, person = known(house)
    one, same, later, much_later = (
        consistency_tokens.issue(house.context, Known(agency.id, person.subject, epoch)) for epoch in (5, 5, 6, 10**12)
    )

    assert {len(token) for token in (one, same, later, much_later)} == {consistency_tokens.LENGTH}
    pairs = combinations((one, same, later, much_later), 2)
    assert not any(has_in_common(first, second) for first, second in pairs)


def has_in_common(first: str, second: str) -> bool:
    """Tell whether two tokens have five characters in a row in common at one place, which chance hardly ever gives."""
    return any(first[place : place + 5] == second[place : place + 5] for place in range(len(first) - 4))


def test_survivor_at_epoch_zero_is_not_behind_any_token(house: House) -> None:
    agency, other = known(house)
    newcomer = house.person(agency)
    first = consistency_tokens.issue(house.context, Known(agency.id, newcomer.subject, 0))

    assert house.epoch(newcomer) == 0
    assert evaluate(house, agency, newcomer, first).status_code == 200
    assert evaluate(house, agency, newcomer, token_of(house, agency, other)).status_code == 200


def test_forged_token_returns_400_naming_the_header(house: House) -> None:
    agency, person = known(house)
    token = token_of(house, agency, person)
    other = consistency_tokens.issue(house.context, Known(agency.id, person.subject, 99))
    changed = [
        "".join(("b" if token[place] == "a" else "a") if here == place else one for here, one in enumerate(token))
        for place in (0, 7, 30, 60, 87)
    ]
    forged = [
        "x",
        "",
        *changed,
        token[:44] + other[44:],
        token[:-4] + "!!!!",
        token + "x",
        f"{token[:44]}!{token[44:]}",
        token[:-1],
        token.upper(),
        f"{token},",
        ",".join([token] * 201),
    ]
    for one in forged:
        answer = evaluate(house, agency, person, one)
        assert answer.status_code == 400, one
        [fault] = answer.json()["errors"]
        assert fault["member"] == "Consent-Epoch"
        told = (fault["detail"], fault["accepted"])
        assert told == (
            "Not tokens that this hub has given out.",
            "tokens as they came, up to 200, with commas between",
        )
    assert evaluate(house, agency, person, ",".join([token] * 200)).status_code == 200


def test_token_of_newer_policy_returns_503(house: House) -> None:
    agency, person = known(house)
    newer = replace(house.context, policy=replace(house.context.policy, version="2"))
    token = consistency_tokens.issue(newer, Known(agency.id, person.subject, 1))

    assert evaluate(house, agency, person, token).status_code == 503
    assert (
        consistency_tokens.read(newer, [consistency_tokens.issue(house.context, Known(agency.id, person.subject, 1))])
        != Seen()
    )
