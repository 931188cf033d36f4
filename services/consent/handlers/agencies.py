"""What an agency may do about a survivor it is linked to: link itself, ask for consent, pass on her spoken no."""

from uuid import UUID

from services.common.errors import Fault, invalid, not_found
from services.consent import epochs, ledger
from services.consent.epochs import Known
from services.consent.handlers.accounts import new_ppid, not_let_in
from services.consent.handlers.grants import Wish, revoke_all
from services.consent.ledger import Entry
from services.consent.room import Room
from services.consent.store import permissions, subjects


def link(room: Room, agency: str, code: str) -> str:
    """Link an agency by the code she told it; its ppid for her."""
    now = room.clock.now()
    with room.database.transaction() as connection:
        subject = subjects.use_link_code(connection, room.secrets.code_digest("link", code), now)
        if subject is None:
            raise not_let_in()
        ppid = subjects.add_link(connection, agency, new_ppid(), subject)
        ledger.append(connection, [Entry("linked", subject, agency)], now)
    return ppid


def epoch_token(room: Room, agency: str, ppid: str) -> str:
    """The token of a survivor's present epoch, for an agency that is linked to her."""
    with room.database.reading() as connection:
        subject = subjects.linked(connection, [(agency, ppid)]).get((agency, ppid))
        row = subjects.get_subject(connection, subject) if subject else None
    if row is None:
        raise not_found()
    return epochs.issue(room, Known(agency, row.id, row.epoch))


def ask(room: Room, asking: str, ppid: str, wish: Wish) -> UUID:
    """Put a request before her; she answers when it is safe. The request's id."""
    policy, now, name = room.policy, room.clock.now(), room.clock.new_id()
    if wish.purpose not in policy.purposes:
        raise invalid(Fault("/purpose", "Not one of the codes.", ", ".join(sorted(policy.purposes))))
    if not wish.categories or not policy.categories.issuperset(wish.categories):
        raise invalid(Fault("/categories", "Empty, or not all of them codes.", ", ".join(sorted(policy.categories))))
    with room.database.transaction() as connection:
        subject = subjects.linked(connection, [(asking, ppid)]).get((asking, ppid))
        if subject is None:
            raise not_found()
        known = room.roster.find(connection, [wish.agency]).get(wish.agency)
        if known is None or known.standing != "active":
            # Also because she will read it: whoever asks must not be able to write to her in its place.
            raise invalid(Fault("/agency", "No such agency is active here.", "the id of an active agency"))
        row = {
            "id": name,
            "subject_id": subject,
            "asked_by": asking,
            "agency": wish.agency,
            "purpose": wish.purpose,
            "categories": sorted(set(wish.categories)),
            "asked_at": now,
        }
        permissions.add_request(connection, row)
        ledger.append(
            connection, [Entry("request.made", subject, asking, {"request": str(name), "for": wish.agency})], now
        )
    return name


def revoke_on_her_word(room: Room, told: str, ppid: str, only_to: str | None) -> int:
    """End her grants because she said so to a linked agency: taking away never needs more than her word."""
    with room.database.reading() as connection:
        subject = subjects.linked(connection, [(told, ppid)]).get((told, ppid))
    if subject is None:
        raise not_found()
    return revoke_all(room, subject, told_to=told, only_to=only_to)
