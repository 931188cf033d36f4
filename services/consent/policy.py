"""Loads the policy, with agencies' deadlines, and the privacy notice shown before a grant, from versioned files."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import schemas
from services.consent.domain import Policy

POLICY = "1"
PRIVACY_NOTICE = "1"


@dataclass(frozen=True, slots=True)
class PrivacyNotice:
    """The privacy notice that she read before she gave a grant."""

    version: str
    language: str
    text: str

    @property
    def sha256(self) -> str:
        """The hash of the text (hex), which her grant and her receipt keep."""
        return sha256(self.text.encode()).hexdigest()


@cache
def policy(version: str = POLICY) -> Policy:
    """Load a version of the policy; cached."""
    document = json.loads(files("schemas").joinpath("policies", f"{version}.json").read_text("utf-8"))
    return Policy(
        version=document["version"],
        purposes=schemas.code_set("purposes"),
        categories=schemas.code_set("categories"),
        sectors=schemas.code_set("sectors"),
        floors=frozenset((floor["sector"], floor["category"]) for floor in document["floors"]),
        default_days=document["grant_days"]["default"],
        maximum_days=document["grant_days"]["maximum"],
        until=datetime.fromisoformat(document["until"]) if document["until"] else None,
    )


def reason(rule: str, language: str) -> str:
    """Return the sentence that explains a decision's rule to her, in that language."""
    return schemas.label("rules", rule, language)


@cache
def privacy_notice(language: str, version: str = PRIVACY_NOTICE) -> PrivacyNotice:
    """Load a version of the privacy notice in a language; cached."""
    text = files("services.consent").joinpath("privacy_notices", f"{version}.{language}.txt").read_text("utf-8")
    return PrivacyNotice(version, language, text)


@dataclass(frozen=True, slots=True)
class SecondLookRule:
    """For these age groups, a grant to one of these sectors or with one of these categories needs a second look."""

    age_bands: frozenset[str]
    sectors: frozenset[str]
    categories: frozenset[str]


@dataclass(frozen=True, slots=True)
class DutyRules:
    """Deadlines for notices, and limits of requests, second looks and sealing, as reviewed data (`schemas/policies`)."""

    acknowledge_time: timedelta
    act_time: timedelta
    when_ended: Mapping[str, str]
    """The action that a notice asks for, by the reason for which its grant ended."""
    request_time: timedelta
    requests_at_most: int
    second_look_rules: Sequence[SecondLookRule]
    second_look_sectors: frozenset[str]
    second_look_time: timedelta
    second_look_why: Mapping[str, str]
    sealed_time: timedelta
    may_be_sealed: frozenset[str]

    def needs_second_look(self, age_band: str | None, sector: str, categories: Collection[str]) -> bool:
        """Tell whether a grant needs a second look first; without a stated age group it needs none."""
        rules = [rule for rule in self.second_look_rules if age_band in rule.age_bands]
        return any(sector in rule.sectors or rule.categories.intersection(categories) for rule in rules)


@cache
def duty_rules(version: str = POLICY) -> DutyRules:
    """Load the deadlines and limits of a policy version; cached."""
    document = json.loads(files("schemas").joinpath("policies", f"{version}.json").read_text("utf-8"))
    notices, requests, second_look = document["notices"], document["requests"], document["second_look"]
    return DutyRules(
        acknowledge_time=timedelta(hours=notices["acknowledge_hours"]),
        act_time=timedelta(days=notices["act_days"]),
        when_ended=notices["when_ended"],
        request_time=timedelta(days=requests["open_days"]),
        requests_at_most=requests["at_most"],
        second_look_rules=[_second_look_rule(rule) for rule in second_look["rules"]],
        second_look_sectors=frozenset(second_look["by_sectors"]),
        second_look_time=timedelta(days=second_look["open_days"]),
        second_look_why={"en": second_look["why"], "fr": second_look["x-why-fr"]},
        sealed_time=timedelta(days=document["compelled"]["sealed_days"]),
        may_be_sealed=frozenset(document["compelled"]["may_be_sealed"]),
    )


def _second_look_rule(rule: Mapping[str, Any]) -> SecondLookRule:
    return SecondLookRule(frozenset(rule["age_bands"]), frozenset(rule["sectors"]), frozenset(rule["categories"]))
