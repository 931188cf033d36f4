"""What she fills in before she says yes, as she filled it in: checked before it is read back to her, and nothing kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Form
from pydantic import BaseModel, ConfigDict, field_validator

from services.common.roster import Agency
from services.consent.context import Context
from services.consent.handlers.grants import notes

DAYS = (7, 14, 30, 90)
"""The shortest first: it is what is chosen unless she chooses another."""


class WishForm(BaseModel):
    """The form of a yes."""

    model_config = ConfigDict(hide_input_in_errors=True)
    request: str = ""
    agency: str = ""
    purpose: str = ""
    category: list[str] = []
    look: str = ""
    words: str = ""
    days: int = DAYS[0]

    @field_validator("words")
    @classmethod
    def _as_counted_in_the_field(cls, text: str) -> str:
        # A browser counts the end of a line as one letter, against the most that the field takes, and sends two.
        return text.replace("\r\n", "\n")


TheWish = Annotated[WishForm, Form()]


@dataclass(frozen=True, slots=True)
class Choices:
    """Between what she can choose: everything, or what a request names."""

    agencies: Sequence[Agency]
    purposes: Sequence[str]
    categories: Sequence[str]
    asked_by: str | None = None


def chosen_agency(choices: Choices, wish: WishForm) -> Agency | None:
    """Who may see it, if that is chosen."""
    return next((known for known in choices.agencies if known.id == wish.agency), None)


def faults(context: Context, choices: Choices, wish: WishForm, lookers: Sequence[Agency] | None) -> list[str]:
    """What is missing or cannot be, by the name of the field. Of the `lookers`, if any are needed, one must be chosen."""
    agency = chosen_agency(choices, wish)
    chosen = set(wish.category)
    found = {
        "agency": agency is None,
        "purpose": wish.purpose not in choices.purposes,
        "category": not chosen or not chosen <= set(choices.categories),
        "never": agency is not None and any((agency.sector, category) in context.policy.floors for category in chosen),
        "words": len(wish.words) > notes.LONGEST,
        "days": wish.days not in DAYS,
        "look": lookers is not None and wish.look not in {known.id for known in lookers},
        "later": lookers is not None and her_note(wish) is not None,
    }
    return [name for name, wrong in found.items() if wrong]


def her_note(wish: WishForm) -> str | None:
    """Her own words, if she shares any."""
    return wish.words.strip() or None if "summary" in wish.category else None


def request_id(wish: WishForm) -> UUID | None:
    """The request that she answers, if she answers one."""
    try:
        return UUID(wish.request) if wish.request else None
    except ValueError:
        return None


def until(now: datetime, days: int) -> datetime:
    """When a yes of so many days ends."""
    return now + timedelta(days=days)


def still_given(row: Any, now: datetime) -> bool:
    """Whether a grant is alive."""
    return row.ended_at is None and row.valid_until > now
