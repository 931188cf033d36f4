"""The form of a new grant: its fields, its choices and its checks. The form is not stored before she confirms it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Form
from pydantic import BaseModel, ConfigDict, field_validator

from services.common.roster import Agency
from services.consent.context import Context
from services.consent.handlers.grants import notes

HERS = "summary"
"""The category that she can write herself."""
KIND = "kind"
"""Chosen where any text of a category may be sent."""
DAYS = (7, 14, 30, 90)
"""How many days a grant may last. The first, the shortest, is preselected."""


class GrantForm(BaseModel):
    """The fields of the form for a new grant."""

    model_config = ConfigDict(hide_input_in_errors=True)
    request: str = ""
    agency: str = ""
    purpose: str = ""
    category: list[str] = []
    look: str = ""
    words: str = ""
    only: str = ""
    days: int = DAYS[0]

    @field_validator("words")
    @classmethod
    def _as_counted_in_the_field(cls, text: str) -> str:
        # A browser counts a line break as one character against the field's maximum, and sends two.
        return text.replace("\r\n", "\n")


FilledForm = Annotated[GrantForm, Form()]


@dataclass(frozen=True, slots=True)
class Choices:
    """The choices that the form offers: everything, or only what a consent request names."""

    agencies: Sequence[Agency]
    purposes: Sequence[str]
    categories: Sequence[str]
    asked_by: str | None = None
    drafts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The texts that came with a request, by category."""


def chosen_agency(choices: Choices, wish: GrantForm) -> Agency | None:
    """Return the agency that she chose, None if she chose none that is offered."""
    return next((known for known in choices.agencies if known.id == wish.agency), None)


def faults(context: Context, choices: Choices, wish: GrantForm, reviewers: Sequence[Agency] | None) -> list[str]:
    """Return the names of the fields that are missing or wrong.

    `reviewers` are the agencies that may take the second look, one of which must be chosen; None if none is needed.
    """
    agency = chosen_agency(choices, wish)
    chosen = set(wish.category)
    fits = bool(chosen) and chosen <= set(choices.categories)
    found = {
        "agency": agency is None,
        "purpose": wish.purpose not in choices.purposes,
        "category": not fits,
        "nothing": fits and not shared(choices, wish),
        "never": agency is not None and any((agency.sector, category) in context.policy.floors for category in chosen),
        "words": len(wish.words) > notes.LONGEST,
        "days": wish.days not in DAYS,
        "look": reviewers is not None and wish.look not in {known.id for known in reviewers},
        "later": reviewers is not None and her_note(wish) is not None,
    }
    return [name for name, wrong in found.items() if wrong]


def her_note(wish: GrantForm) -> str | None:
    """Return the note that she shares, None if she shares none."""
    return wish.words.strip() or None if HERS in wish.category else None


def only_this(choices: Choices, wish: GrantForm) -> bool:
    """Tell whether she allows only the texts that she read: so it is where some came, unless she chose otherwise."""
    return bool(choices.drafts) and wish.only != KIND


def shared(choices: Choices, wish: GrantForm) -> list[str]:
    """Return those chosen categories in which anything may be sent.

    Without a note, nobody's words go in its place, unless she has read them here. Where only certain texts may be sent, a
    category without one stays empty.
    """
    bound, note = only_this(choices, wish), her_note(wish)

    def can_be_sent(category: str) -> bool:
        if category in choices.drafts:
            return True
        return note is not None if category == HERS else not bound

    return [category for category in wish.category if can_be_sent(category)]


def read_texts(choices: Choices, wish: GrantForm) -> dict[str, Mapping[str, Any]]:
    """Return the drafts that she allows: those of the chosen categories, without one that she writes herself."""
    hers = HERS if her_note(wish) is not None else None
    return {name: part for name, part in choices.drafts.items() if name in wish.category and name != hers}


def request_id(wish: GrantForm) -> UUID | None:
    """Return the id of the consent request that she answers, None if she answers none."""
    try:
        return UUID(wish.request) if wish.request else None
    except ValueError:
        return None


def until(now: datetime, days: int) -> datetime:
    """Return the time at which a grant of so many days ends."""
    return now + timedelta(days=days)


def still_given(row: Any, now: datetime) -> bool:
    """Tell whether a grant is live."""
    return row.ended_at is None and row.valid_until > now
