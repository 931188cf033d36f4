"""Requests with drafts, postings and her answers, for tests of what is sent word for word."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from services.common.envelope import Header
from services.common.messaging.cloudevents import Event
from services.common.part_texts import digest
from services.consent.envelopes import read_envelope
from services.consent.handlers.agencies import linked_acts
from services.consent.handlers.disclosures import decisions, sent
from services.consent.handlers.disclosures.decisions import Answer, Sending
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Chosen, Wish
from services.intake import consent_client
from services.intake.sealing import parts_to_seal, seal
from tests.support.consent import Agency, House, Person

Parts = Mapping[str, Mapping[str, Any]]
HEALTH = {"needs": "A nurse this week, please. Caf\u00e9 d\u2019\u00e9t\u00e9."}
FAMILY = {"needs": "Help with the baby.", "coming_along": "My sister"}


def ask(house: House, asking: Agency, person: Person, to: Agency, parts: Parts, *more: str) -> UUID:
    """Ask for her consent with drafts; `more` are categories without one. Return the request."""
    wish = Wish(to.id, "referral", [*parts, *more], texts=parts)
    return linked_acts.ask(house.context, asking.id, person.ppid, wish)


def allow(house: House, person: Person, request: UUID, **answer: Any) -> UUID:
    """Say yes to a request; return the grant."""
    chosen = answer.pop("chosen", None)
    said = grants.Answer(True, chosen=Chosen(*chosen) if chosen else None, **answer)
    made = grants.answer_request(house.context, person.subject, request, said)
    assert made is not None
    return made


def decide(house: House, sender: Agency, person: Person, to: Agency, parts: Parts) -> Answer:
    """Return what consent answers when an agency posts these parts."""
    texts = {category: digest(category, part) for category, part in parts.items()}
    sending = Sending(sender.id, person.ppid, to.id, "referral", frozenset(parts), texts)
    [answer] = decisions.decide_sendings(house.context, [sending])
    return answer


def post(house: House, sender: Agency, person: Person, to: Agency, parts: Parts) -> tuple[str | None, Answer]:
    """Seal posted parts as intake does; return the envelope, None if nothing may be sealed, and consent's answer."""
    answer = decide(house, sender, person, to, parts)
    if answer.seal is None:
        return None, answer
    told = answer.seal
    key = X25519PublicKey.from_public_bytes(told.public_key)
    permitted = consent_client.Seal(
        told.grant, key, frozenset(told.categories), told.epoch, told.texts, frozenset(told.hers)
    )
    header = Header(str(house.context.clock.new_id()), to.id, told.grant, told.epoch, "referral.requested.v1")
    return seal(header, key, parts_to_seal(parts, permitted)), answer


def send(house: House, grant: UUID, sender: Agency, parts: Parts) -> str:
    """Deliver a sealed referral to consent as the bus does; return its envelope."""
    envelope = house.envelope(grant, parts)
    header = read_envelope(envelope).header
    data = {"referral": header.id, "from": sender.id, "to": header.recipient, "grant": str(grant), "envelope": envelope}
    event = Event(
        str(house.context.clock.new_id()), sender.id, "referral.sealed.v1", house.clock.now(), data, header.id
    )
    with house.context.database.transaction() as connection:
        sent.keep(house.context, connection, event)
    return envelope
