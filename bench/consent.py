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
    agency = world.recipient.client_id
    people = [register(made, agency) for _ in range(count)]
    return [(person, envelope_of(made, person, agency)) for person in people]


def envelope_of(made: Context, person: Person, agency: str) -> str:
    """Let her allow an agency three categories; return an envelope for it."""
    return sealed(made, grants.give_grant(made, person.subject, Wish(agency, "referral", sorted(PARTS))), PARTS)
