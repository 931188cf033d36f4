"""Every metric has a name in the hub's namespace and a description."""

from typing import Any

from services.common import metrics


def instruments() -> list[Any]:
    return [value for name, value in vars(metrics).items() if name[0] != "_" and hasattr(value, "_real_instrument")]


def test_every_metric_has_a_name_of_the_hub() -> None:
    names = [instrument._name for instrument in instruments()]
    assert len(names) >= 8
    assert len(set(names)) == len(names)
    assert all(name.startswith("fireweed.") for name in names)


def test_every_metric_has_a_description() -> None:
    assert all(len(instrument._description) > 10 for instrument in instruments())
