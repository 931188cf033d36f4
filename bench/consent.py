"""A context of the consent service in this process, on the hub's own database, and people made there without signing up."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.world import World
from services.common.auth.access_tokens import TokenKeys
from services.consent import main as consent
from services.consent.context import Context
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Wish
from tests.support.consent import Person, register, sealed
from tests.support.people import PARTS


@contextmanager
def context(world: World) -> Iterator[Context]:
    """Yield the context that the hub's consent processes have."""
    service = consent.build(world.hub.settings, TokenKeys())
    try:
        made: Context = service.app.state.context  # type: ignore[attr-defined]
        yield made
    finally:
        service.close()


def allowed(made: Context, world: World, count: int) -> list[tuple[Person, str]]:
    """Return people who allow the recipient three categories, each with a sealed envelope."""
    people = []
    for _ in range(count):
        person = register(made, world.recipient.client_id)
        grant = grants.give_grant(made, person.subject, Wish(world.recipient.client_id, "referral", sorted(PARTS)))
        people.append((person, sealed(made, grant, PARTS)))
    return people
