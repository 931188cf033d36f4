"""A tour through every survivor page in every state."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from services.consent.handlers.agencies import compelled, linked_acts
from services.consent.handlers.agencies.compelled import Approver, Record
from services.consent.handlers.grants import age_bands
from services.consent.handlers.grants.grants import Wish
from services.consent.handlers.notices import poll
from services.consent.handlers.notices.poll import Poll
from services.consent.handlers.rights import corrections
from tests.support.window import PIN, Window
from tests.support.word_for_word import HEALTH, ask, send

NOTE = "A quiet room would help me."


def tour(window: Window) -> Iterator[str]:
    """Show every page in every state, one after the other; yield the name of each state."""
    yield from _outside(window)
    yield from _first_time(window)
    yield from _yes(window)
    yield from _second_look(window)
    yield from _word_for_word(window)
    yield from _taking_back(window)
    yield from _mine(window)
    yield from _papers(window)
    yield from _end(window)


def _outside(window: Window) -> Iterator[str]:
    window.open("/my")
    yield "welcome"
    window.send("/my/in", words="these are no words of anybody at all")
    yield "welcome-wrong"
    for name in ("about", "card", "check"):
        window.open(f"/my/{name}")
        yield name
    window.open("/my/card")
    window.send("/my/card", code="none of hers")
    yield "card-wrong"
    window.open("/my/check")
    window.send("/my/check", code="none of hers")
    yield "check-wrong"
    window.open("/my/today")
    yield "today"
    window.open(f"/consent/workers/{window.agency.id}")
    yield "workers"


def _first_time(window: Window) -> Iterator[str]:
    window.open("/my/start")
    yield "start"
    window.send("/my/start", code="none of hers")
    yield "start-wrong"
    window.send("/my/start", code=window.person.claim_code, pin=PIN)
    yield "words"
    window.open("/my")
    yield "home-empty"


def _yes(window: Window) -> Iterator[str]:
    other = window.other.id
    asked = Wish(other, "referral", ["summary", "housing"])
    request = linked_acts.ask(window.house.context, window.agency.id, window.person.ppid, asked)
    window.open("/my")
    yield "home-asked"
    window.open(f"/my/yes?request={request}")
    yield "yes-asked"
    window.open("/my/yes")
    yield "yes"
    window.send("/my/yes/check")
    yield "yes-missing"
    choices: Any = {"purpose": "service_delivery", "category": ["summary", "contact"], "words": NOTE}
    window.send("/my/yes/check", agency=other, **choices)
    yield "read-back"
    window.send("/my/yes")
    yield "pin"
    window.send("/my/yes", pin="000000")
    yield "pin-wrong"
    window.send("/my/yes", pin=PIN)
    yield "receipt"
    window.open("/my")
    yield "home"


def _second_look(window: Window) -> Iterator[str]:
    context, reviewer = window.house.context, window.agency.id
    age_bands.restate(context, reviewer, window.person.ppid, "under_16")
    choices: Any = {"purpose": "court_support", "category": ["housing"]}
    window.open("/my/yes")
    window.send("/my/yes/check", agency=window.other.id, **choices)
    yield "yes-look"
    window.send("/my/yes/check", look=reviewer)
    yield "read-back-look"
    window.send_with_pin("/my/yes")
    yield "waits"
    window.open("/my")
    yield "home-waits"
    window.send(window.page.locator('form[action^="/my/stop/"]').last.get_attribute("action") or "")
    window.open("/my/yes")
    window.send("/my/yes/check", agency=reviewer, **choices)
    yield "yes-look-nobody"
    age_bands.restate(context, reviewer, window.person.ppid, "age_18_24")


def _word_for_word(window: Window) -> Iterator[str]:
    house, other = window.house, window.other
    parts = {"health": HEALTH, "summary": {"text": NOTE}}
    request = ask(house, window.agency, window.person, other, parts, "legal")
    window.open("/my")
    window.page.locator(f'a[href="/my/yes?request={request}"]').click()
    yield "yes-drafts"
    window.send("/my/yes/check", agency=other.id, purpose="referral", category=["health", "summary", "legal"])
    yield "read-back-drafts"
    window.send_with_pin("/my/yes")
    yield "receipt-drafts"
    grant = UUID(window.page.url.rsplit("/", 1)[-1])
    send(house, grant, window.agency, {"health": HEALTH, "summary": {"text": NOTE}})
    window.open(f"/my/sent/{grant}")
    yield "sent"
    window.open(f"/my/yes/{grant}")
    window.send(f"/my/stop/{grant}")
    window.open(f"/my/sent/{grant}")
    yield "sent-empty"


def _taking_back(window: Window) -> Iterator[str]:
    window.open("/my")
    grant = window.page.locator('form[action^="/my/stop/"]').first.get_attribute("action") or ""
    window.send("/my/pause")
    yield "home-paused"
    window.send_with_pin("/my/resume")
    window.send(grant)
    yield "stopped"
    window.open(grant.replace("/stop/", "/yes/"))
    yield "receipt-ended"
    window.open("/my/never")
    yield "never-empty"
    window.send("/my/never")
    yield "never-missing"
    window.send("/my/never", who="sector:police", what="health")
    window.send("/my/never", who=f"agency:{window.other.id}")
    window.send("/my/never", what="immigration")
    yield "never"
    yield from _past(window)
    window.open("/my/stopped/00000000-0000-4000-8000-000000000000")
    yield "trouble"


def _past(window: Window) -> Iterator[str]:
    context, other = window.house.context, window.other.id
    window.open("/my/past")
    yield "past"
    sets = poll.poll(context, other, Poll()).sets
    window.open("/my/past")
    yield "past-told"
    poll.poll(context, other, Poll(acknowledged=[UUID(name) for name in sets]))
    window.open("/my/past")
    yield "past-acknowledged"
    window.house.clock.move(timedelta(days=15))
    window.come_in(stepped_up=True)
    window.open("/my/past")
    yield "past-late"
    for name in sets:
        poll.attest(context, other, UUID(name), "deleted")
    window.open("/my/past")
    yield "past-attested"


def _mine(window: Window) -> Iterator[str]:
    window.open("/my/mine")
    yield "mine"
    window.send("/my/right")
    yield "mine-missing"
    what = window.page.locator("#what option").nth(1).get_attribute("value") or ""
    window.send("/my/right", what=what)
    [row] = corrections.waiting_for(window.house.context, window.other.id, 9)
    corrections.corrected(window.house.context, window.other.id, row.id)
    window.open("/my/mine")
    yield "mine-asked"
    _a_law_compels(window)
    window.send_with_pin("/my/read")
    yield "copy"
    window.open("/my/counted")
    yield "counted"
    window.send_with_pin("/my/counted/yes")
    yield "counted-yes"
    window.open("/my/reach")
    yield "reach"
    window.send_with_pin("/my/reach")
    yield "reach-missing"
    window.send_with_pin(
        "/my/reach", channel="text", address="555-0100", window="After lunch", wording="Your book is here."
    )
    yield "reach-safe"


def _a_law_compels(window: Window) -> None:
    house, approvers = window.house, [Approver("AS", "director"), Approver("BT", "privacy_officer")]
    today = house.clock.now().date()
    for until in (None, today + timedelta(days=60)):
        made = Record("court_order", "court", ["summary"], today, approvers, until)
        compelled.record(house.context, window.agency.id, window.person.ppid, made)


def _papers(window: Window) -> Iterator[str]:
    window.open("/my/paper")
    yield "paper"
    window.send_with_pin("/my/paper/letter")
    yield "paper-missing"
    window.send_with_pin("/my/paper/letter", agency=window.agency.id)
    yield "letter"
    code = window.page.locator(".secret").inner_text()
    window.open("/my/check")
    window.send("/my/check", code=code)
    yield "check-good"
    window.open("/my/paper")
    window.send_with_pin("/my/paper/letter", agency=window.agency.id)
    window.open("/my/paper")
    yield "paper-letters"
    window.send_with_pin("/my/paper/card")
    yield "new-card"
    code = window.page.locator(".secret").inner_text()
    window.open("/my/card")
    window.send("/my/card", code=code)
    yield "card-done"
    window.open("/my")
    window.send_with_pin("/my/link")
    yield "link"
    window.open("/my/keys")
    yield "keys"
    window.send("/my/keys/new")
    yield "key-new"
    window.open("/my/keys")
    window.send_with_pin("/my/words")
    yield "new-words"
    window.open("/my/keys")
    window.send_with_pin("/my/pin", new=PIN, again="000000")
    yield "keys-pin-wrong"
    window.send_with_pin("/my/pin", new=PIN, again=PIN)
    yield "new-pin"


def _end(window: Window) -> Iterator[str]:
    window.house.clock.move(timedelta(days=31))
    window.come_in(stepped_up=True)
    window.open("/my/reach")
    yield "reach-old"
    window.open("/my/paper")
    yield "paper-old"
    window.open("/my/delete")
    yield "delete"
    window.send_with_pin("/my/delete")
    yield "delete-unsure"
    window.send_with_pin("/my/delete", sure="yes")
    yield "deleted"
