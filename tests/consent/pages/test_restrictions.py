"""Pages name the restrictions that stop a grant; receipts, which she may show to others, do not."""

import pytest

from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Rule
from tests.support.consent import House
from tests.support.visitor import NewVisitor

TOLD = "You said never to this, so they cannot see it: Your health."
RULES = [
    Rule(category="health"),
    Rule(sector="housing", category="health"),
    Rule(category="health", purpose="referral"),
]


@pytest.mark.parametrize("rule", RULES)
def test_restriction_is_named_beside_each_grant_it_stops(house: House, arrive: NewVisitor, rule: Rule) -> None:
    agency, person = house.agency(), house.person()
    house.allow(person, agency, "health", "summary")
    house.allow(person, agency, "summary")
    visitor = arrive(token=house.session(person))
    wish = {"agency": agency.id, "purpose": "referral", "category": "health", "days": "7"}

    def told() -> tuple[int, int]:
        read_back = visitor.send(visitor.get("/my/yes"), "/my/yes/check", **wish)
        return visitor.get("/my").text.count(TOLD), read_back.text.count(TOLD)

    grants.restrict(house.context, person.subject, Rule(sector="police"))
    assert told() == (0, 0)
    never = grants.restrict(house.context, person.subject, rule)
    grants.pause(house.context, person.subject)
    assert told() == (1, 1)
    grants.lift_restriction(house.context, person.subject, never)
    assert told() == (0, 0)


def test_receipt_mentions_no_restriction(house: House, arrive: NewVisitor) -> None:
    agency, person = house.agency(), house.person(language="fr")
    name = house.allow(person, agency, "summary", "health")
    grants.restrict(house.context, person.subject, Rule(agency=agency.id))
    visitor = arrive(token=house.session(person))

    assert "Vous avez dit jamais, alors ceci ne sera pas vu :" in visitor.get("/my").text
    assert "jamais, alors" not in visitor.get(f"/my/yes/{name}").text
