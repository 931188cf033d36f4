"""An agency for which a survivor is closed cannot tell why, nor whether she exists: each route gives it one answer.

It asks about survivors who shut it out by name or by its sector, who paused, unlinked it or were erased, and about nobody.
`python -m bench enumeration` measures the times of these answers.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from tests.architecture.test_speaking import NOBODY, OWN, QUESTIONS
from tests.support.enumeration import (
    CASES,
    ROUTES,
    SHUT_OUT,
    Agencies,
    Names,
    asks,
    join,
    meet_all,
    nonsense,
    send_ask,
    told,
)
from tests.support.hubs import TestHub, embedded_hub
from tests.support.people import inbox

TUPLES = 5
# Each lists what is the agency's own, or waits for it; the tests below read them, and tests/referral/test_still.py the feed.
LISTS = {
    "GET /consent/v1/second-looks",
    "GET /referral/v1/feed",
    "GET /referral/v1/inbox",
    "GET /referral/v1/referrals",
}


@dataclass(slots=True)
class World:
    """A hub, its agencies, and how the asking one names a survivor of each case."""

    hub: TestHub
    agencies: Agencies
    names: dict[str, Names]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with embedded_hub(tmp_path_factory.mktemp("hub")) as hub:
        agencies = join(hub)
        yield World(hub, agencies, meet_all(hub, agencies))


pytestmark = pytest.mark.backend("sqlite", "local_log")


def test_every_route_about_a_survivor_is_asked() -> None:
    named = {name for name, question in QUESTIONS.items() if question not in {NOBODY, OWN}}
    assert {route.name for route in ROUTES.values()} | LISTS == named


@pytest.mark.parametrize("route", ROUTES)
def test_answers_about_closed_survivors_are_equal(world: World, route: str) -> None:
    for group in ROUTES[route].groups:
        by_case = {
            case: [
                told(send_ask(world.agencies.asking, ask))
                for ask in asks(world.agencies, route, world.names[case], TUPLES)
            ]
            for case in group
        }
        first = by_case[group[0]]
        assert len(first) == TUPLES
        assert by_case == dict.fromkeys(group, first)


def test_well_formed_envelope_is_answered_like_nonsense(world: World) -> None:
    every = [world.names[case] for case in CASES]
    every += [replace(names, envelope=nonsense(names)) for names in every[:1]]
    every += [replace(names, envelope=names.envelope[:-40]) for names in every[:1]]
    for route in ("open an envelope", "open a batch"):
        asked = [next(asks(world.agencies, route, names, 1)) for names in every]
        assert len({told(send_ask(world.agencies.asking, ask)) for ask in asked}) == 1


def test_lists_name_no_closed_survivor(world: World) -> None:
    asking = world.agencies.asking
    assert asking.call("GET", "/consent/v1/second-looks") == {"waiting": []}
    waits = {item["referral"] for item in inbox(asking)}
    assert not waits & {world.names[case].received for case in (*SHUT_OUT, "unlinked", "erased")}


def test_list_of_sent_referrals_shows_them_alike(world: World) -> None:
    listed = world.agencies.asking.call("GET", "/referral/v1/referrals?role=sender")["items"]
    by_id = {one["referral"]: one for one in listed}
    differ = {"referral", "requested_at", "answer_by"}
    shown = [
        {name: value for name, value in by_id[world.names[case].sent].items() if name not in differ}
        for case in (*SHUT_OUT, "unlinked")
    ]
    assert shown == [shown[0]] * 3
