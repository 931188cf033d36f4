"""The hub's own knowledge of its publications, kept for later audits: true sizes, and what each agency, an insider, knows."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from services.auditor.insiders import Insider
from services.reporting.publication.drafts import Draft
from services.reporting.publication.secondary_suppression import InsiderKnowledge

Truth = Mapping[str, Any]


def truth(draft: Draft) -> Truth:
    """Return the truth about a draft, in the form that is stored."""
    agencies = draft.agencies()
    # Among agencies of equal size the first by name, so that the result is always equal.
    pair = sorted(sorted(agencies, key=lambda agency: (-agencies[agency], agency))[:2])
    own = {agency: _some(draft.own(agency)) for agency in sorted(agencies)}
    both = [[*two, sizes] for two, sizes in sorted(draft.both().items())]
    return {"id": draft.id, "persons": draft.persons(), "own": own, "both": both, "pair": pair}


def persons(truths: Sequence[Truth]) -> dict[str, int]:
    """Return the true sizes of all groups of contributors, by name."""
    return {name: size for one in truths for name, size in one["persons"].items()}


def insiders(truths: Sequence[Truth]) -> list[Insider]:
    """Return every agency as an insider in all publications, and for each publication the two largest as a coalition."""
    own: dict[str, dict[str, int]] = defaultdict(dict)
    for one in truths:
        for agency, sizes in one["own"].items():
            own[agency].update(sizes)
    singles = [Insider(own[agency]) for agency in sorted(own)]
    return [*singles, *(_pair(one, own, truths) for one in truths if len(one["pair"]) == 2)]


def of(draft: Draft, earlier: Sequence[Truth]) -> InsiderKnowledge:
    """Return the insider knowledge against which a draft is to be protected."""
    truths = [*earlier, truth(draft)]
    return InsiderKnowledge(persons(truths), insiders(truths))


def _pair(one: Truth, own: Mapping[str, Mapping[str, int]], truths: Sequence[Truth]) -> Insider:
    """Return what two agencies know as a coalition: the contributors that either knows, each counted once."""
    together: Counter[str] = Counter()
    for agency in one["pair"]:
        together.update(own.get(agency, {}))
    for first, second, sizes in (both for truth in truths for both in truth["both"]):
        if [first, second] == one["pair"]:
            together.subtract(sizes)
    return Insider(dict(together), one["id"])


def _some(sizes: Mapping[str, int]) -> dict[str, int]:
    return {name: size for name, size in sizes.items() if size}
