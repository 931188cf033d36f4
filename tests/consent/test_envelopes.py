"""What an envelope is answered with, and what leaves of opened parts; whatever is not known keeps it closed."""

import pytest

from services.common.errors import unavailable
from services.consent.envelopes import NEVER, RequestedEnvelope, as_delivered, read_envelope

NOTE = {"summary": {"text": "Her own words."}}


def test_unreadable_envelope_allows_nothing() -> None:
    envelope = read_envelope("fw1.unknown")
    assert (envelope.opened, envelope.refused, envelope.only_this) == (False, True, True)
    assert (envelope.grant, envelope.parts, envelope.categories) == (NEVER, frozenset(), frozenset())
    assert envelope.refusal.status == 404


def test_answer_or_problem_ends_being_refused() -> None:
    answered = RequestedEnvelope(answer={})
    assert (answered.opened, answered.refused) == (True, False)
    troubled = RequestedEnvelope(problem=unavailable("Please try again."))
    assert (troubled.opened, troubled.refused, troubled.refusal.status) == (False, False, 503)


@pytest.mark.parametrize(
    ("parts", "note", "delivered"),
    [
        ({"summary": {"text": "Posted."}}, None, {"summary": {"text": "Posted."}}),
        ({"summary": {"text": "Posted."}}, "Her own words.", NOTE),
        ({"summary": {}, "health": {}}, "Her own words.", NOTE),
        ({"health": {"text": "Posted."}}, "Her own words.", {"health": {"text": "Posted."}}),
        ({"summary": {}, "health": {"text": "Posted."}}, None, {"health": {"text": "Posted."}}),
        ({}, "Her own words.", {}),
    ],
)
def test_note_replaces_a_summary_and_empty_parts_stay(
    parts: dict[str, object], note: str | None, delivered: dict[str, object]
) -> None:
    assert as_delivered(parts, note) == delivered
