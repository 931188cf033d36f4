"""The copy of everything, as a file and as a page, holds the whole ledger however long it is."""

import json

from services.consent.api.survivors.export import export_of
from services.consent.handlers.rights import export
from tests.consent.rights.test_export_stream import with_ledger
from tests.support.consent import PIN, House
from tests.support.visitor import NewVisitor


def test_copy_and_page_show_whole_ledger(house: House, arrive: NewVisitor) -> None:
    person = with_ledger(house, export.LARGE_PAGE + 30)
    house.give_pin(person)
    visitor = arrive("en", house.session(person))
    copy = visitor.send(visitor.get("/my/mine"), "/my/copy", pin=PIN)
    page = visitor.send(visitor.get("/my/mine"), "/my/read", pin=PIN)

    told = json.loads(copy.response.text)
    assert copy.response.headers["content-disposition"] == 'attachment; filename="my-page.json"'
    assert told.keys() - {"ledger"} == export_of(house.context, person.subject).keys()
    assert len(told["ledger"]) == export.LARGE_PAGE + 31
    assert page.response.text.count("<dt>leaf_index</dt>") == export.LARGE_PAGE + 31
    assert page.response.text.rstrip().endswith("</html>")
    assert "default-src 'self'" in page.response.headers["content-security-policy"]
