"""The languages of her pages: their sentences, what lists of codes say of a code, and the times of her days."""

from datetime import date, datetime
from functools import cache, partial
from gettext import NullTranslations
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_time, get_timezone_name
from babel.lists import format_list
from jinja2 import Environment

import schemas
from services.common.http import i18n
from services.common.http.i18n import LANGUAGES, locale_of, long_date, preferred

__all__ = ["LANGUAGES", "catalogue", "locale_of", "long_date", "preferred", "templates"]
PACKAGE = "services.consent.pages"
# What a list of codes says of a code beside its label, by language.
_MEMBERS = {
    "en": {"description": "description", "example": "x-example-en"},
    "fr": {"description": "x-description-fr", "example": "x-example-fr"},
}


def catalogue(language: str) -> NullTranslations:
    """The sentences in a language."""
    return i18n.catalogue(PACKAGE, language)


@cache
def templates(language: str, zone: ZoneInfo) -> Environment:
    """The templates, speaking a language: its sentences, code labels, direction of writing, and times of her days."""
    made, locale = i18n.environment(PACKAGE, language, catalogue(language)), locale_of(language)
    made.globals.update(label=partial(_label, language), about=partial(_about, language))
    made.filters["say"] = lambda code, kind: _label(language, kind, code)
    made.filters["day"] = lambda instant: long_date(_day(instant, zone), locale)
    made.filters["moment"] = lambda instant: _moment(instant, zone, locale)
    made.filters["listed"] = lambda items: format_list(list(items), locale=locale)
    return made


def _label(language: str, kind: str, code: str) -> str:
    """What people read in place of a code. One that a newer hub wrote must not close the page that takes it back."""
    return schemas.label(kind, code, language, catalogue(language).gettext("something that has no name here"))


def _about(language: str, kind: str, code: str, member: str) -> object:
    [found] = [item for item in schemas.codes(kind) if item.code == code]
    return found.extra[_MEMBERS[language][member]]


def _day(instant: date, zone: ZoneInfo) -> date:
    return instant.astimezone(zone) if isinstance(instant, datetime) else instant


def _moment(instant: datetime, zone: ZoneInfo, locale: Locale) -> str:
    """Such as "November 22, 2026, 2:33 p.m., Eastern Standard Time": a time says whose it is."""
    here = instant.astimezone(zone)
    clock, name = format_time(here, "short", locale=locale), get_timezone_name(here, locale=locale)
    return f"{long_date(here, locale)}, {clock}, {name}"
