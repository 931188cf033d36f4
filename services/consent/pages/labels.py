"""Languages of the survivor's pages: catalogues, templates, labels of codes, and times in her time zone."""

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
# The members of a code beside its label, by language.
_MEMBERS = {
    "en": {"description": "description", "example": "x-example-en"},
    "fr": {"description": "x-description-fr", "example": "x-example-fr"},
}


def catalogue(language: str) -> NullTranslations:
    """Return the catalogue of a language."""
    return i18n.catalogue(PACKAGE, language)


@cache
def templates(language: str, zone: ZoneInfo) -> Environment:
    """Return the templates with a language's sentences, labels and writing direction, and times in a zone."""
    environment, locale = i18n.environment(PACKAGE, language, catalogue(language)), locale_of(language)
    environment.globals.update(label=partial(_label, language), about=partial(_about, language))
    environment.filters["say"] = lambda code, kind: _label(language, kind, code)
    environment.filters["day"] = lambda instant: long_date(_day(instant, zone), locale)
    environment.filters["moment"] = lambda instant: _moment(instant, zone, locale)
    environment.filters["listed"] = lambda items: format_list(list(items), locale=locale)
    environment.filters["either"] = lambda items: format_list(list(items), "or", locale=locale)
    return environment


def _label(language: str, kind: str, code: str) -> str:
    """Return the label of a code. An unknown code, written by a newer hub, gets a general label: the page must still open."""
    return schemas.label(kind, code, language, catalogue(language).gettext("something that has no name here"))


def _about(language: str, kind: str, code: str, member: str) -> object:
    [found] = [item for item in schemas.codes(kind) if item.code == code]
    return found.extra[_MEMBERS[language][member]]


def _day(instant: date, zone: ZoneInfo) -> date:
    return instant.astimezone(zone) if isinstance(instant, datetime) else instant


def _moment(instant: datetime, zone: ZoneInfo, locale: Locale) -> str:
    """Return a time with its zone, such as "November 22, 2026, 2:33 p.m., Eastern Standard Time"."""
    here = instant.astimezone(zone)
    clock, name = format_time(here, "short", locale=locale), get_timezone_name(here, locale=locale)
    return f"{long_date(here, locale)}, {clock}, {name}"
