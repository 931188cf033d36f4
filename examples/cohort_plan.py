"""Plans for made-up people, drawn from given odds. Nothing here talks to a hub."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

# How many people each city's agencies would see in a quarter; only their ratios matter.
CITIES = {
    "vancouver": 60,
    "winnipeg": 45,
    "toronto": 110,
    "niagara-falls": 22,
    "thunder-bay": 18,
    "montreal": 70,
    "halifax": 35,
    "st-johns": 12,
}
STAGES = {"outreach": 4, "crisis": 6, "acute": 4, "stable": 4, "long_term": 2}
NEEDS: Mapping[str, Mapping[str, int]] = {
    "outreach": {"N26": 4, "N06": 3, "N10": 2, "N12": 2, "N35": 2, "N09": 1},
    "crisis": {"N02": 6, "N01": 4, "N06": 2, "N12": 2, "N04": 2, "N20": 1},
    "acute": {"N02": 3, "N39": 2, "N12": 2, "N04": 2, "N31": 2, "N33": 1, "N11": 1},
    "stable": {"N03": 4, "N31": 3, "N13": 2, "N29": 1, "N30": 1, "N22": 1, "N15": 1, "N34": 1},
    "long_term": {"N16": 2, "N05": 2, "N36": 2, "N32": 2, "N14": 2, "N24": 1, "N18": 1},
}
URGENCIES: Mapping[str, Mapping[str, int]] = {
    "outreach": {"24h": 2, "72h": 3},
    "crisis": {"1h": 2, "3h": 3, "24h": 4},
    "acute": {"24h": 3, "72h": 2},
    "stable": {"72h": 2, "14d": 4},
    "long_term": {"14d": 1},
}
SECTORS = {
    **dict.fromkeys(("N01", "N02", "N03", "N14", "N39"), "housing"),
    **dict.fromkeys(("N04", "N05"), "income_support"),
    **dict.fromkeys(("N15", "N16"), "education"),
    **dict.fromkeys(("N31", "N32"), "mental_health"),
    **dict.fromkeys(("N33", "N34", "N35"), "substance_use"),
    **dict.fromkeys(("N29", "N30"), "justice"),
    "N12": "health",
    "N22": "indigenous",
}
CATEGORIES = {
    **dict.fromkeys(("N02", "N03", "N14", "N39"), "housing"),
    **dict.fromkeys(("N12", "N31", "N32", "N33", "N34", "N35"), "health"),
    **dict.fromkeys(("N29", "N30"), "legal"),
    "N01": "safety",
    "N22": "culture",
}
PURPOSES = {"N01": "safety_planning", "N13": "care_coordination", "N29": "court_support"}
ENDINGS = {
    "": 2,
    "accepted": 2,
    "declined": 5,
    "waitlisted": 2,
    "waitlisted accepted started": 1,
    "accepted started": 3,
    "accepted started completed": 5,
}
DECLINES = {
    "no_capacity": 8,
    "mandate_mismatch": 3,
    "out_of_catchment": 2,
    "closed_at_that_hour": 2,
    "sobriety_rule": 1,
}
WAITS = {"days_1_3": 2, "days_4_7": 3, "days_8_30": 4, "days_31_90": 2}
OUTCOMES = {"needs_met": 5, "partly_met": 3, "moved_on": 2}
NAMES = ("Aspen", "Birch", "Cedar", "Clover", "Fern", "Hazel", "Juniper", "Lark", "Maple", "Robin", "Willow", "Wren")


@dataclass(frozen=True, slots=True)
class Place:
    """An agency under the name that plans use, the same on every hub."""

    name: str
    sector: str
    region: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One need, the agency that is asked for help, and its answer. `allowed` lists the categories that it may see."""

    need: str
    stage: str
    urgency: str
    purpose: str
    to: str
    parts: tuple[str, ...]
    allowed: tuple[str, ...]
    answers: tuple[str, ...]
    detail: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of one made-up person."""

    name: str
    language: str
    region: str
    sender: str
    days_ago: int
    claims: bool
    counted: bool
    asks: tuple[Ask, ...]
    then: str


def plans(places: Sequence[Place], size: int, seed: int, days: int) -> Iterator[Plan]:
    """Yield one plan after another; each depends only on the seed, its number and the places."""
    cities = {city: weight for city, weight in CITIES.items() if any(place.region == city for place in places)}
    for number in range(size):
        # Not for secrets: the point of this randomness is that it can be repeated.
        dice = random.Random(f"{seed}/{number}")  # noqa: S311
        region = _pick(dice, cities)
        sender = dice.choice([place for place in places if place.region == region])
        claims = dice.random() < 0.85
        asks = tuple(_ask(dice, places, sender, claims) for _ in range(dice.choice((1, 1, 2, 3))))
        yield Plan(
            name=f"{dice.choice(NAMES)} {number + 1}",
            language="fr" if region == "montreal" and dice.random() < 0.8 else "en",
            region=region,
            sender=sender.name,
            days_ago=dice.randrange(days),
            claims=claims,
            counted=claims and dice.random() < 0.6,
            asks=asks,
            then=_pick(dice, {"": 7, "revoke": 2, "pause": 1}) if claims else "",
        )


def _ask(dice: random.Random, places: Sequence[Place], sender: Place, claims: bool) -> Ask:
    stage = _pick(dice, STAGES)
    need = _pick(dice, NEEDS[stage])
    parts = tuple(dict.fromkeys(("summary", CATEGORIES.get(need, "summary"), "contact")))
    # Most say yes to most of it, and some to nothing.
    willing = claims and dice.random() < 0.8
    allowed = parts if dice.random() < 0.5 else parts[:-1]
    answers = tuple(_pick(dice, ENDINGS).split())
    detail = {"declined": _pick(dice, DECLINES), "waitlisted": _pick(dice, WAITS), "completed": _pick(dice, OUTCOMES)}
    return Ask(
        need=need,
        stage=stage,
        urgency=_pick(dice, URGENCIES[stage]),
        purpose=PURPOSES.get(need, "referral"),
        to=_recipient(dice, places, sender, SECTORS.get(need, "ngo")).name,
        parts=parts,
        allowed=allowed if willing else (),
        answers=answers,
        detail={answer: detail[answer] for answer in answers if answer in detail},
    )


def _recipient(dice: random.Random, places: Sequence[Place], sender: Place, sector: str) -> Place:
    """Return the agency to ask: the right kind near by, else any near by, else the right kind, else any."""
    others = [place for place in places if place.name != sender.name]
    near = [place for place in others if place.region == sender.region]
    right = [place for place in others if place.sector == sector]
    return dice.choice([place for place in near if place.sector == sector] or near or right or others)


def _pick(dice: random.Random, weights: Mapping[str, int]) -> str:
    return dice.choices(list(weights), list(weights.values()))[0]
