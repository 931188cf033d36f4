"""Labels of the public pages in each language: sentences, names of codes and periods, and how numbers are written."""

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
# How many numbers and rows are kept; each takes a few dozen to a few hundred bytes.
KEPT = 4096
TITLES = {"en": "title", "fr": "x-title-fr"}


@dataclass(frozen=True, slots=True)
class Labels:
    """Names things in one language, under one version of the plan."""

    language: str
    plan: int

    @property
    def _said(self) -> NullTranslations:
        return catalogue(self.language)

    def header(self, header: Header) -> str:
        """Return the name of a row or column."""
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
        """Return the name of a code of a dimension."""
        told = schemas.plan(self.plan)["dimensions"][dimension]
        if code in told["labels"]:
            return str(told["labels"][code][TITLES[self.language]])
        [name] = [name for name in told["codes"] if code in schemas.code_set(name)]
        return schemas.label(name, code, self.language)

    def dimension(self, name: str) -> str:
        """Return the name of a dimension."""
        if name == "period":
            return self._said.gettext("Period")
        if name == "table":
            return self._said.gettext("Table")
        return str(schemas.plan(self.plan)["dimensions"][name][TITLES[self.language]])

    def table(self, name: str) -> str:
        """Return the title of a table."""
        [table] = [table for table in schemas.plan(self.plan)["tables"] if table["id"] == name]
        return str(table[TITLES[self.language]])

    def indicator(self, name: str) -> str:
        """Return the title of an indicator."""
        [found] = [each for each in schemas.indicators() if each["id"] == name]
        return str(found[TITLES[self.language]])

    def period(self, period: str) -> str:
        """Return a fiscal quarter or year as text."""
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
        """Return a value as people read it; every hidden value has the same sign."""
        if value == HIDDEN:
            return self._said.gettext("not shown")
        if value == NONE:
            return self._said.gettext("no such service")
        return self.share(str(value)) if column.kind == SHARE else self.number(int(value))

    def number(self, value: int) -> str:
        """Return a whole number as text."""
        return number(self.language, value)

    def share(self, value: str) -> str:
        """Return a share in percent as text; at both ends it is a bound."""
        told = {"<": self._said.gettext("%(share)s or less"), ">": self._said.gettext("%(share)s or more")}
        return told.get(value[0], "%(share)s") % {"share": self.percent(int(value.lstrip("<>=")))}

    def percent(self, value: int) -> str:
        """Return a percentage as text."""
        return format_percent(value / 100, locale=locale_of(self.language))


def catalogue(language: str) -> NullTranslations:
    """Return the sentences in a language."""
    return i18n.catalogue(PACKAGE, language)


@lru_cache(KEPT)
def number(language: str, value: int) -> str:
    """Return a whole number as text. It is cached: a page has a thousand numbers, and formatting them is most of its work."""
    return format_decimal(value, locale=locale_of(language))


@cache
def templates(language: str) -> Environment:
    """Return the templates in a language."""
    made = i18n.environment(PACKAGE, language, catalogue(language))
    made.globals.update(
        label=lambda kind, code: schemas.label(kind, code, language), recommendation=schemas.recommendations().get
    )
    made.filters["need"] = lambda code, labels: labels.code("family", code)
    made.filters["row"] = lambda header, labels: labels.header(header)
    made.filters["number"] = lambda value: number(language, value)
    # Few of hundreds of rows change from one refresh to the next.
    made.filters["capacity_row"] = lru_cache(KEPT)(lambda row: made.get_template("capacity_row.html").render(row=row))
    made.filters["titled"] = lambda told: told[TITLES[language]]
    return made
