"""The languages of her pages: templates speak English, and a catalogue says each of their sentences in another one."""

from datetime import date, datetime
from functools import cache, partial
from gettext import NullTranslations
from importlib.resources import files
from io import BytesIO
from zoneinfo import ZoneInfo

from babel import Locale
from babel.core import UnknownLocaleError
from babel.dates import format_date, format_time, get_timezone_name
from babel.lists import format_list
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations
from jinja2 import Environment, PackageLoader, StrictUndefined

import schemas

LANGUAGES = ("en", "fr")
COUNTRY = "CA"
# What a list of codes says of a code beside its label, by language.
_MEMBERS = {
    "en": {"description": "description", "example": "x-example-en"},
    "fr": {"description": "x-description-fr", "example": "x-example-fr"},
}


@cache
def catalogue(language: str) -> NullTranslations:
    """The sentences in a language. Read from the text that translators edit: nothing has to be compiled before a start."""
    if language == LANGUAGES[0]:
        return NullTranslations()
    compiled = BytesIO()
    with files("services.consent.pages").joinpath("translations", f"{language}.po").open("rb") as source:
        write_mo(compiled, read_po(source, locale=language, abort_invalid=True))
    compiled.seek(0)
    return Translations(compiled)


@cache
def templates(language: str, zone: ZoneInfo) -> Environment:
    """The templates, speaking a language: its sentences, code labels, direction of writing, and times of her days."""
    made = Environment(
        loader=PackageLoader("services.consent.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_translations(catalogue(language), newstyle=True)  # type: ignore[attr-defined]
    locale = locale_of(language)
    made.globals.update(
        language=language,
        direction=locale.text_direction,
        languages={code: (Locale(code).get_display_name(code) or code).capitalize() for code in LANGUAGES},
        label=partial(_label, language),
        about=partial(_about, language),
    )
    made.filters["say"] = lambda code, kind: _label(language, kind, code)
    made.filters["day"] = lambda instant: format_date(_day(instant, zone), "long", locale=locale)
    made.filters["moment"] = lambda instant: _moment(instant, zone, locale)
    made.filters["listed"] = lambda items: format_list(list(items), locale=locale)
    return made


def locale_of(language: str) -> Locale:
    """How a language writes days and times here."""
    try:
        return Locale(language, COUNTRY)
    except UnknownLocaleError:
        return Locale(language)


def preferred(accepted: str) -> str:
    """The first of our languages in an `Accept-Language` header; English when there is none."""
    named = (part.partition(";")[0].strip()[:2].lower() for part in accepted.split(","))
    return next((language for language in named if language in LANGUAGES), LANGUAGES[0])


def _label(language: str, kind: str, code: str) -> str:
    return schemas.label(kind, code, language)


def _about(language: str, kind: str, code: str, member: str) -> object:
    [found] = [item for item in schemas.codes(kind) if item.code == code]
    return found.extra[_MEMBERS[language][member]]


def _day(instant: date, zone: ZoneInfo) -> date:
    return instant.astimezone(zone) if isinstance(instant, datetime) else instant


def _moment(instant: datetime, zone: ZoneInfo, locale: Locale) -> str:
    """Such as "November 22, 2026, 2:33 p.m., Eastern Standard Time": a time says whose it is."""
    here = instant.astimezone(zone)
    clock, name = format_time(here, "short", locale=locale), get_timezone_name(here, locale=locale)
    return f"{format_date(here, 'long', locale=locale)}, {clock}, {name}"
