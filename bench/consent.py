"""A room of the consent service in this process, on the hub's own database, and people made there without the slow way in."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.world import World
from services.common.access import TokenKeys
from services.consent import main as consent
from services.consent.handlers import grants
from services.consent.handlers.grants import Wish
from services.consent.room import Room
from tests.support.consent import Person, register, sealed
from tests.support.people import PARTS


@contextmanager
def room(world: World) -> Iterator[Room]:
    """The room, as the hub's consent processes have it."""
    service = consent.build(world.hub.settings, TokenKeys())
    try:
        made: Room = service.app.state.room  # type: ignore[attr-defined]
        yield made
    finally:
        service.close()


def allowed(made: Room, world: World, count: int) -> list[tuple[Person, str]]:
    """People who allow the recipient three categories, each with a sealed envelope."""
    people = []
    for _ in range(count):
        person = register(made, world.recipient.client_id)
        grant = grants.give_grant(made, person.subject, Wish(world.recipient.client_id, "referral", sorted(PARTS)))
        people.append((person, sealed(made, grant, PARTS)))
    return people
