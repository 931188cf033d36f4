"""Unlinking an agency on the page of restrictions."""

import pytest

from services.consent.models import link
from tests.support.consent import House
from tests.support.visitor import NewVisitor


@pytest.mark.parametrize("language", ["en", "fr"])
def test_page_unlinks_by_one_button(house: House, language: str, arrive: NewVisitor) -> None:
    agency = house.agency()
    person = house.person(agency, language)
    visitor = arrive(token=house.session(person))
    page = visitor.get("/my/never")
    assert f"Sample {agency.id}" in page.text
    after = visitor.send(page, f"/my/known/{agency.id}/end")
    assert (after.status, f"/my/known/{agency.id}/end" in after.text) == (200, False)
    assert house.rows(link, link.c.subject_id == person.subject) == []
