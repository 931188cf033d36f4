"""Pages about what waits for a second look, what agencies did about notices, and what a law compelled."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.consent.handlers.accounts import links, sessions
from services.consent.handlers.agencies import compelled, linked_acts
from services.consent.handlers.agencies.compelled import Approver, Record
from services.consent.handlers.grants import age_bands, grants, pending, second_looks
from services.consent.handlers.grants.grants import Wish
from services.consent.handlers.notices import poll
from services.consent.handlers.notices.poll import Poll
from services.consent.store import subjects
from tests.support.consent import PIN, Agency, House, change_standing, pin_hash
from tests.support.visitor import NewVisitor, Visitor

YES = {"purpose": "referral", "category": "health", "days": "7"}


@pytest.fixture
def recipient(house: House) -> Agency:
    return house.agency("health")


def young(house: House, agency: Agency, band: str = "under_16") -> UUID:
    """Register a survivor whose grants need a second look; return her id."""
    made = sessions.register(house.context, agency.id, "en", band)
    with house.context.database.reading() as connection:
        return subjects.linked(connection, [(agency.id, made.ppid)])[agency.id, made.ppid]


def at_her_pages(house: House, arrive: NewVisitor, subject: UUID) -> Visitor:
    """Return a visitor with a session in which the PIN was just given."""
    token = "a-session-of-hers"
    digest = house.context.secrets.session_digest(f"{token}{subject}")
    with house.context.database.transaction() as connection:
        subjects.add_session(connection, digest, subject, house.context.clock.now())
        until = house.context.clock.now() + sessions.STEP_UP_TIME
        subjects.change_session(connection, digest, stepped_up_until=until)
        subjects.change_subject(connection, subject, pin_hash=pin_hash(house.context.secrets))
    visitor: Visitor = arrive(token=f"{token}{subject}")
    return visitor


def say_yes(visitor: Visitor, recipient: Agency, reviewer: Agency) -> Any:
    """Fill in a grant, choose the agency for the second look, read it back and confirm; return the last answer."""
    asked = visitor.send(visitor.get("/my/yes"), "/my/yes/check", agency=recipient.id, **YES)
    assert (asked.status, "Please choose who looks at it with you first." in asked.text) == (400, True)
    read_back = visitor.send(asked, "/my/yes/check", look=reviewer.id)
    assert f"Nothing is shared yet. Sample {reviewer.id} looks at it with you first." in read_back.text
    return visitor.send(read_back, "/my/yes")


def waiting_yes(house: House, arrive: NewVisitor, recipient: Agency) -> tuple[Agency, UUID, Visitor, Any]:
    """Give a grant that waits; return the agency that must look, the survivor, her visitor, and the answer."""
    agency = house.agency("ngo")
    subject = young(house, agency)
    visitor = at_her_pages(house, arrive, subject)
    return agency, subject, visitor, say_yes(visitor, recipient, agency)


def test_grant_waits_until_second_look_agrees(house: House, arrive: NewVisitor, recipient: Agency) -> None:
    agency, _subject, visitor, waits = waiting_yes(house, arrive, recipient)
    assert (waits.status, "Nothing is shared yet." in waits.text) == (200, True)
    assert "What waits for a second look" in visitor.get("/my").text
    assert "Nobody may see anything." in visitor.get("/my").text

    [(row, _)] = second_looks.second_looks_for(house.context, agency.id)
    second_looks.give_second_look(house.context, agency.id, row.id, agree=True)
    assert "What you said yes to" in visitor.get(f"/my/yes/{row.id}").text
    assert "What waits for a second look" not in visitor.get("/my").text


def test_waiting_grant_can_be_withdrawn(house: House, arrive: NewVisitor, recipient: Agency) -> None:
    agency = house.agency("ngo")
    visitor = at_her_pages(house, arrive, young(house, agency))
    waits = say_yes(visitor, recipient, agency)
    [form] = [form.action for form in waits.reader.forms if "/stop/" in form.action]
    assert visitor.send(waits, form).response.url.path == "/my"
    assert second_looks.second_looks_for(house.context, agency.id) == []


def test_second_look_without_any_agency_is_explained(house: House, arrive: NewVisitor, recipient: Agency) -> None:
    visitor = at_her_pages(house, arrive, young(house, recipient))
    refused = visitor.send(visitor.get("/my/yes"), "/my/yes/check", agency=recipient.id, **YES)
    assert refused.status == 400
    assert "Because of your age" in refused.text
    assert "Nobody who knows you can do that for this yet." in refused.text


def test_second_look_offers_fitting_agencies_none_chosen(house: House, arrive: NewVisitor, recipient: Agency) -> None:
    """Only agencies that know her and may take the second look are offered, and none is preselected."""
    advocate, other, landlord, stranger = (house.agency(sector) for sector in ("ngo", "indigenous", "housing", "ngo"))
    subject = young(house, advocate)
    for agency in (other, landlord, recipient):
        linked_acts.link(house.context, agency.id, links.make_link_code(house.context, subject).code)
    visitor = at_her_pages(house, arrive, subject)
    asked = visitor.send(visitor.get("/my/yes"), "/my/yes/check", agency=recipient.id, **YES)
    offered = [given["value"] for tag, given in asked.reader.marks if tag == "option"]
    choices = offered[offered.index("", 1) : offered.index("7")]
    assert sorted(choices) == sorted(["", advocate.id, other.id])
    assert dict(asked.form("/my/yes/check").fields).get("look", "") == ""

    for wrong in (landlord, stranger, recipient):
        assert visitor.send(asked, "/my/yes/check", look=wrong.id).status == 400
    read_back = visitor.send(asked, "/my/yes/check", look=other.id)
    changed = visitor.send(read_back, "/my/yes/change")
    assert dict(changed.form("/my/yes/check").fields)["look"] == other.id, "as she left it"
    visitor.send(read_back, "/my/yes")
    assert len(second_looks.second_looks_for(house.context, other.id)) == 1
    assert second_looks.second_looks_for(house.context, advocate.id) == []


def test_request_that_needs_second_look_asks_for_the_agency(
    house: House, arrive: NewVisitor, recipient: Agency
) -> None:
    advocate = house.agency("ngo")
    subject = young(house, advocate)
    with house.context.database.reading() as connection:
        ppid = subjects.links_of(connection, subject)[advocate.id]
    request = linked_acts.ask(house.context, advocate.id, ppid, Wish(recipient.id, "referral", ["health"]))
    visitor = at_her_pages(house, arrive, subject)
    form = visitor.get(f"/my/yes?request={request}")
    asked = visitor.send(form, "/my/yes/check", agency=recipient.id, **YES)
    visitor.send(visitor.send(asked, "/my/yes/check", look=advocate.id), "/my/yes")
    assert len(second_looks.second_looks_for(house.context, advocate.id)) == 1
    assert "Nothing waits." in visitor.get("/my").text


def test_adult_is_not_asked_for_a_second_look(house: House, arrive: NewVisitor, recipient: Agency) -> None:
    visitor = at_her_pages(house, arrive, young(house, house.agency("ngo"), "age_18_24"))
    read_back = visitor.send(visitor.get("/my/yes"), "/my/yes/check", agency=recipient.id, **YES)
    assert read_back.status == 200
    assert "looks at it with you" not in read_back.text


def test_past_page_shows_progress_of_each_notice(house: House, arrive: NewVisitor, recipient: Agency) -> None:
    person = house.person()
    grant = house.allow(person, recipient)
    assert house.open(recipient, house.envelope(grant)).status_code == 200
    grants.revoke_grant(house.context, person.subject, grant)
    visitor = arrive(token=house.session(person))
    assert "It has not yet come for the notice." in visitor.get("/my/past").text
    [name] = poll.poll(house.context, recipient.id, Poll()).sets
    assert "It has not yet said that it has the notice." in visitor.get("/my/past").text
    house.clock.move(house.context.duty_rules.acknowledge_time)
    visitor = arrive(token=house.session(person))
    assert "It is late." in visitor.get("/my/past").text

    [name] = poll.poll(house.context, recipient.id, Poll()).sets
    poll.poll(house.context, recipient.id, Poll(acknowledged=[UUID(name)]))
    told = visitor.get("/my/past").text
    assert "It has the notice. It has not yet said what it did." in told
    assert "It is late." not in told
    poll.attest(house.context, recipient.id, UUID(name), "deleted")
    seen = visitor.get("/my/past").text
    assert "It says what it did with what it had: Deleted." in seen
    assert f"Sample {recipient.id} says what it did with what it had: Deleted." in seen


def test_note_with_grant_that_needs_second_look_returns_400(
    house: House, arrive: NewVisitor, recipient: Agency
) -> None:
    agency = house.agency("ngo")
    visitor = at_her_pages(house, arrive, young(house, agency))
    wish = {"agency": recipient.id, "purpose": "referral", "days": "7", "words": "Some words of mine."}
    form = visitor.get("/my/yes")
    chosen = [("category", "health"), ("category", "summary")]
    refused = visitor.send(form, "/my/yes/check", *chosen, look=agency.id, **wish)
    assert refused.status == 400
    assert "leave it out for now" in refused.text
    assert second_looks.second_looks_for(house.context, agency.id) == []


@pytest.mark.parametrize("language", ["en", "fr"])
def test_export_page_explains_each_record_in_sentences(
    house: House, arrive: NewVisitor, recipient: Agency, language: str
) -> None:
    """Waiting grants, notices to agencies, compelled disclosures and her age group."""
    advocate = house.agency("ngo")
    subject = young(house, advocate, "age_16_17")
    expected = {
        "en": ("16 or 17", "has not yet come for the notice", "Order of a court", "is closed until June 29, 2026")
    }
    expected["fr"] = ("16 ou 17 ans", "n’a pas encore pris l’avis", "Ordonnance d’un tribunal", "29 juin 2026")
    with house.context.database.transaction() as connection:
        ppid = subjects.links_of(connection, subject)[advocate.id]
        subjects.change_subject(connection, subject, language=language)
    wish = Wish(recipient.id, "referral", ["health"], second_look_by=advocate.id)
    grants.give_grant(house.context, subject, wish)
    ended = grants.give_grant(house.context, subject, Wish(recipient.id, "referral", ["housing"]))
    grants.revoke_grant(house.context, subject, ended)
    approvers, today = [Approver("AS", "director"), Approver("BT", "privacy_officer")], house.clock.now().date()
    for until in (None, today + timedelta(days=28)):
        made = Record("court_order", "court", ["summary"], today, approvers, until)
        compelled.record(house.context, advocate.id, ppid, made)

    visitor = at_her_pages(house, arrive, subject)
    seen = visitor.send(visitor.get("/my/mine"), "/my/read", pin=PIN)
    text = seen.text.translate(str.maketrans("\u00a0\u202f", "  "))
    assert [told for told in expected[language] if told not in text] == []
    assert f"Sample {advocate.id}" in text
    assert str(ended) in text, "and the whole of it as it is stored"


def test_age_group_is_shown_and_agency_can_correct_it(house: House, arrive: NewVisitor) -> None:
    advocate = house.agency("ngo")
    subject = young(house, advocate)
    visitor = at_her_pages(house, arrive, subject)
    assert "Your age group here is: Under 16." in visitor.get("/my/mine").text
    with house.context.database.reading() as connection:
        ppid = subjects.links_of(connection, subject)[advocate.id]
    age_bands.restate(house.context, advocate.id, ppid, "age_16_17")
    assert "Your age group here is: 16 or 17." in visitor.get("/my/mine").text
    assert f"Sample {advocate.id} said which age group you are in: 16 or 17." in visitor.get("/my/past").text
    assert "Your age group here" not in arrive(token=house.session(house.person())).get("/my/mine").text


def test_ledger_page_names_who_passed_on_revocation(house: House, arrive: NewVisitor, recipient: Agency) -> None:
    """A worker may know her and pass on a revocation that she never gave."""
    teller = house.agency("ngo")
    person = house.person(teller)
    house.allow(person, recipient)
    for _ in ("something to stop", "nothing to stop"):
        linked_acts.revoke_on_her_word(house.context, teller.id, person.ppid, None)
    text = arrive(token=house.session(person)).get("/my/past").text
    assert (
        f"Sample {recipient.id} may no longer see what you shared. Sample {teller.id} told us that you said so." in text
    )
    assert f"Sample {teller.id} told us that you want everything to stop." in text


def test_double_tap_withdraws_waiting_grant_once(house: House, arrive: NewVisitor, recipient: Agency) -> None:
    _agency, subject, visitor, waits = waiting_yes(house, arrive, recipient)
    [action] = [form.action for form in waits.reader.forms if form.action.startswith("/my/stop/")]
    for _ in range(2):
        done = visitor.send(waits, action)
        assert (done.status, "Nobody may see anything." in done.text) == (200, True)
    assert pending.waits_of(house.context, subject) == []


def test_request_for_suspended_agency_asks_for_no_choice(house: House, arrive: NewVisitor, recipient: Agency) -> None:
    """The form must not ask for a choice that she cannot make."""
    agency = house.agency("ngo")
    person = house.person(agency)
    asked = linked_acts.ask(house.context, agency.id, person.ppid, Wish(recipient.id, "referral", ["contact"]))
    visitor = arrive(token=house.session(person))
    begun = visitor.get(f"/my/yes?request={asked}")
    change_standing(house.context, recipient.id, recipient.sector, "suspended", 2)

    seen = visitor.get(f"/my/yes?request={asked}")
    sent = visitor.send(begun, "/my/yes/check", agency=recipient.id, purpose="referral", category="contact")
    assert (seen.status, sent.status) == (200, 400)
    for page in (seen, sent):
        assert "Nobody can get this just now. There is nothing you need to do." in page.text
        assert "Please choose" not in page.text
