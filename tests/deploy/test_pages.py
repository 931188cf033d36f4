"""The page for operators names every file, and its table of topic permissions agrees with the contract."""

import re
from typing import Any

import yaml

from tests.deploy.files import DEPLOY, ROOT, documents, read

PAGE = read("README.md")
[COLLECTOR] = documents("otel/collector.yaml")


def test_the_page_names_every_file() -> None:
    told = set(re.findall(r"`([\w./-]+)`", PAGE))
    for path in sorted(path for path in DEPLOY.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        name = path.relative_to(DEPLOY).as_posix()
        shorter = {name, path.name, *(f"{parent.as_posix()}/" for parent in path.relative_to(DEPLOY).parents)}
        assert shorter & told or name == "README.md", name


def test_page_lists_topic_permissions_of_the_contract() -> None:
    contract: Any = yaml.safe_load((ROOT / "schemas" / "asyncapi.yaml").read_text("utf-8"))
    expected: dict[str, tuple[set[str], set[str]]] = {}
    for channel in contract["channels"].values():
        expected[channel["address"]] = (set(), set())
    for name, operation in contract["operations"].items():
        channel = contract["channels"][operation["channel"]["$ref"].rsplit("/", 1)[-1]]
        expected[channel["address"]][operation["action"] == "receive"].add(name.split("-")[0])

    rows = re.findall(r"^\| `([a-z]+\.v\d)` \| ([^|]*) \| ([^|]*) \|$", PAGE, re.MULTILINE)
    told = {topic: (set(writes.split(", ")), set(reads.split(", "))) for topic, writes, reads in rows}

    assert told == expected


def test_every_part_of_the_collectors_pipelines_is_described() -> None:
    for pipeline in COLLECTOR["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            assert set(names) <= set(COLLECTOR[kind])


def test_every_file_of_yaml_can_be_read() -> None:
    found = list(DEPLOY.rglob("*.yaml"))
    assert len(found) >= 10
    for path in found:
        assert documents(path.relative_to(DEPLOY).as_posix())


def test_no_file_holds_a_password_or_a_key() -> None:
    for path in DEPLOY.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            text = path.read_text("utf-8")
            assert not re.search(r"-----BEGIN [A-Z ]*PRIVATE KEY", text), path
            # The value of a password must be a blank, or the word PASSWORD.
            for word in re.findall(r"://[^:/@\s\"'`]+:([^@/\s\"'`]+)@", text):
                assert word.startswith("${") or word == "PASSWORD", path
