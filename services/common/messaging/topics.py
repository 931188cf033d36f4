"""The topics of the contract, read from `schemas/asyncapi.yaml`; no other code lists topics."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. Its partitions never change after creation, since that would move keys and break their order."""

    name: str
    partitions: int
    settings: Mapping[str, str]

    @property
    def compacted(self) -> bool:
        """Tell whether only the latest record of each key is kept."""
        return self.settings.get("cleanup.policy") == "compact"

    @property
    def retention_ms(self) -> int | None:
        """Return how long records are kept, in milliseconds; None on compacted topics."""
        value = self.settings.get("retention.ms")
        return int(value) if value else None


@cache
def topics() -> Mapping[str, Topic]:
    """Return every topic by name."""
    return {channel["address"]: _topic(channel) for channel in _document()["channels"].values()}


@cache
def topics_read_by(service: str) -> tuple[str, ...]:
    """Return the topics that a service's consumer reads."""
    return tuple(_channel(operation) for operation in _operations(service, "receive"))


def _operations(service: str, action: str) -> list[Mapping[str, Any]]:
    operations: Mapping[str, Mapping[str, Any]] = _document()["operations"]
    return [body for name, body in operations.items() if name.startswith(f"{service}-") and body["action"] == action]


def _channel(operation: Mapping[str, Any]) -> str:
    name = str(operation["channel"]["$ref"]).rsplit("/", 1)[-1]
    return str(_document()["channels"][name]["address"])


@cache
def _document() -> Mapping[str, Any]:
    document: Mapping[str, Any] = yaml.safe_load(files("schemas").joinpath("asyncapi.yaml").read_text("utf-8"))
    return document


def _topic(channel: Mapping[str, Any]) -> Topic:
    kafka = channel["bindings"]["kafka"]
    settings = {name: _setting(value) for name, value in kafka.get("topicConfiguration", {}).items()}
    return Topic(channel["address"], int(kafka["partitions"]), settings)


def _setting(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
