"""The languages of the public pages: sentences, names of codes and periods, and how numbers are written."""

from dataclasses import dataclass
from functools import cache, lru_cache
from gettext import NullTranslations

from babel.numbers import format_decimal, format_percent
from jinja2 import Environment

import schemas
from services.common.http import i18n
from services.common.http.i18n import locale_of
from services.reporting.pages.pivots import SHARE, Column, Header
from services.reporting.pages.published_table import HIDDEN, NONE, Value

PACKAGE = "services.reporting.pages"
# Numbers and lines; each is a few dozen bytes to a few hundred.
KEPT = 4096
TITLES = {"en": "title", "fr": "x-title-fr"}


@dataclass(frozen=True, slots=True)
class Labels:
    """What things are called in a language, under one version of the plan."""

    language: str
    plan: int

    @property
    def _said(self) -> NullTranslations:
        return catalogue(self.language)

    def header(self, header: Header) -> str:
        """The name of a row or column."""
        dimension, code = header
        if dimension == "period":
            return self.period(code)
        if dimension == "indicator":
            return f"{code} {self.indicator(code)}"
        if dimension == "table":
            return self.table(code)
        if dimension == "quality":
            return self._said.gettext("Cells") if code == "cells" else self._said.gettext("Not shown")
        if not dimension:
            return self._said.gettext("People")
        return self.code(dimension, code)

    def code(self, dimension: str, code: str) -> str:
        """The name of a code of a dimension."""
        told = schemas.plan(self.plan)["dimensions"][dimension]
        if code in told["labels"]:
            return str(told["labels"][code][TITLES[self.language]])
        [name] = [name for name in told["codes"] if code in schemas.code_set(name)]
        return schemas.label(name, code, self.language)

    def dimension(self, name: str) -> str:
        """The name of a dimension."""
        if name == "period":
            return self._said.gettext("Period")
        if name == "table":
            return self._said.gettext("Table")
        return str(schemas.plan(self.plan)["dimensions"][name][TITLES[self.language]])

    def table(self, name: str) -> str:
        """The title of a table."""
        [table] = [table for table in schemas.plan(self.plan)["tables"] if table["id"] == name]
        return str(table[TITLES[self.language]])

    def indicator(self, name: str) -> str:
        """The title of an indicator."""
        [found] = [each for each in schemas.indicators() if each["id"] == name]
        return str(found[TITLES[self.language]])

    def period(self, period: str) -> str:
        """A fiscal quarter or year in words."""
        year, _, quarter = period.partition("-")
        following = str(int(year) + 1)
        said = self._said
        told = {
            "Q1": said.gettext("April to June %(year)s") % {"year": year},
            "Q2": said.gettext("July to September %(year)s") % {"year": year},
            "Q3": said.gettext("October to December %(year)s") % {"year": year},
            "Q4": said.gettext("January to March %(year)s") % {"year": following},
        }
        whole = said.gettext("April %(year)s to March %(following)s") % {"year": year, "following": following}
        return told.get(quarter, whole)

    def value(self, column: Column, value: Value) -> str:
        """A value as people read it; whatever is hidden has one and the same sign."""
        if value == HIDDEN:
            return self._said.gettext("not shown")
        if value == NONE:
            return self._said.gettext("no such service")
        return self.share(str(value)) if column.kind == SHARE else self.number(int(value))

    def number(self, value: int) -> str:
        """A whole number."""
        return number(self.language, value)

    def share(self, value: str) -> str:
        """A share in percent, which at its ends is a bound."""
        told = {"<": self._said.gettext("%(share)s or less"), ">": self._said.gettext("%(share)s or more")}
        return told.get(value[0], "%(share)s") % {"share": self.percent(int(value.lstrip("<>=")))}

    def percent(self, value: int) -> str:
        """A percentage."""
        return format_percent(value / 100, locale=locale_of(self.language))


def catalogue(language: str) -> NullTranslations:
    """The sentences in a language."""
    return i18n.catalogue(PACKAGE, language)


@lru_cache(KEPT)
def number(language: str, value: int) -> str:
    """A whole number. A page has a thousand of them, most of them small, and they are most of the work that it makes."""
    return format_decimal(value, locale=locale_of(language))


@cache
def templates(language: str) -> Environment:
    """The templates, speaking a language."""
    made = i18n.environment(PACKAGE, language, catalogue(language))
    made.globals.update(
        label=lambda kind, code: schemas.label(kind, code, language), recommendation=schemas.recommendations().get
    )
    made.filters["need"] = lambda code, words: words.code("family", code)
    made.filters["row"] = lambda header, words: words.header(header)
    made.filters["number"] = lambda value: number(language, value)
    # Of hundreds of lines few change from one look to the next.
    made.filters["line"] = lru_cache(KEPT)(lambda row: made.get_template("line.html").render(row=row))
    made.filters["titled"] = lambda told: told[TITLES[language]]
    return made
