"""Loads the rules about duties and waiting, which no grant can change either: notices, requests, second looks, sealing."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from services.consent.policy import POLICY


@dataclass(frozen=True, slots=True)
class SecondLookRule:
    """For these ages, a grant to one of these sectors, or with one of these categories, is looked at twice."""

    age_bands: frozenset[str]
    sectors: frozenset[str]
    categories: frozenset[str]


@dataclass(frozen=True, slots=True)
class DutyRules:
    """What agencies must do and by when, and what waits for how long, as reviewed data (`schemas/policies`)."""

    acknowledge_time: timedelta
    act_time: timedelta
    when_ended: Mapping[str, str]
    """What a notice asks for when a grant ended for a reason."""
    request_time: timedelta
    requests_at_most: int
    second_look_rules: Sequence[SecondLookRule]
    second_look_sectors: frozenset[str]
    second_look_time: timedelta
    second_look_why: Mapping[str, str]
    sealed_time: timedelta
    may_be_sealed: frozenset[str]

    def needs_second_look(self, age_band: str | None, sector: str, categories: Collection[str]) -> bool:
        """Whether a grant waits for a second look. An age that nobody stated asks for none: ages are not asked."""
        rules = [rule for rule in self.second_look_rules if age_band in rule.age_bands]
        return any(sector in rule.sectors or rule.categories.intersection(categories) for rule in rules)


@cache
def duty_rules(version: str = POLICY) -> DutyRules:
    """The rules of that version."""
    document = json.loads(files("schemas").joinpath("policies", f"{version}.json").read_text("utf-8"))
    notices, requests, look = document["notices"], document["requests"], document["second_look"]
    return DutyRules(
        acknowledge_time=timedelta(hours=notices["acknowledge_hours"]),
        act_time=timedelta(days=notices["act_days"]),
        when_ended=notices["when_ended"],
        request_time=timedelta(days=requests["open_days"]),
        requests_at_most=requests["at_most"],
        second_look_rules=[_second_look_rule(rule) for rule in look["rules"]],
        second_look_sectors=frozenset(look["by_sectors"]),
        second_look_time=timedelta(days=look["open_days"]),
        second_look_why={"en": look["why"], "fr": look["x-why-fr"]},
        sealed_time=timedelta(days=document["compelled"]["sealed_days"]),
        may_be_sealed=frozenset(document["compelled"]["may_be_sealed"]),
    )


def _second_look_rule(rule: Mapping[str, Any]) -> SecondLookRule:
    return SecondLookRule(frozenset(rule["age_bands"]), frozenset(rule["sectors"]), frozenset(rule["categories"]))
