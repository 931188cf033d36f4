"""Reads the files of `deploy/` as the programs that use them do."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
PROCESSES = [
    f"{service}-{role}" for service in ("intake", "consent", "referral", "reporting") for role in ("api", "worker")
]

# Who mounts which service's secrets. Reporting's API shows frozen bytes and needs none.
KEEPERS = {
    "intake": {"intake-api", "intake-worker"},
    "consent": {"consent-api", "consent-worker"},
    "referral": {"referral-api", "referral-worker"},
    "reporting": {"reporting-worker"},
}


def read(name: str) -> str:
    """Return the text of a file."""
    return (DEPLOY / name).read_text("utf-8")


def documents(name: str) -> list[Any]:
    """Return every document of a YAML file."""
    return [document for document in yaml.safe_load_all(read(name)) if document]


def compose() -> Any:
    """Return the compose file, with its variables unresolved."""
    [document] = documents("compose.yaml")
    return document


def environment(service: str) -> dict[str, str]:
    """Return a service's environment in the compose file."""
    return dict(compose()["services"][service].get("environment", {}))


def manifests() -> list[Any]:
    """Return every object that `kubectl apply -k` would send."""
    [kustomization] = documents("kubernetes/kustomization.yaml")
    return [found for name in kustomization["resources"] for found in documents(f"kubernetes/{name}")]


def objects(kind: str) -> dict[str, Any]:
    """Return every object of one kind, by name."""
    return {found["metadata"]["name"]: found for found in manifests() if found["kind"] == kind}


def images() -> Iterator[str]:
    """Return every image that the files use."""
    yield from re.findall(r"^FROM (\S+)", read("Dockerfile"), re.MULTILINE)
    yield from (service["image"] for service in compose()["services"].values())
    for found in [*objects("Deployment").values(), *objects("Job").values()]:
        pod = found["spec"]["template"]["spec"]
        yield from (container["image"] for container in [*pod["containers"], *pod.get("initContainers", [])])
