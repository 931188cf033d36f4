"""The proxy passes every public path to its service and no other path, and buffers nothing."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.common.errors import not_found, unavailable
from services.common.http.app import MAX_BODY
from tests.architecture.test_routes import INVENTORY
from tests.deploy.files import ROOT, compose, objects, read

DOCUMENTS: Mapping[str, Any] = {
    path.stem: json.loads(path.read_text("utf-8")) for path in sorted((ROOT / "schemas" / "openapi").iterdir())
}
# The inventory holds every route, also those of pages.
PATHS = {route.split(" ")[1] for route in INVENTORY}
HOME = {"my": "consent"}
PUBLIC = [
    pytest.param(path.replace("{language}", "en"), HOME.get(service, service), id=path)
    for path in sorted(PATHS)
    if "/health/" not in path and not path.startswith("/internal/")
    for service in [path.split("/")[-1 if path.startswith("/.well-known/") else 1]]
]
FRONT = [
    "/",
    "/developers",
    "/developers/en",
    "/developers/openapi/intake.json",
    "/en",
    "/favicon.ico",
    "/fr",
    "/front.css",
    "/icon.svg",
    "/robots.txt",
]
CLOSED = [
    "/enter",
    "/internal",
    "/internal/consent/v1/decisions",
    "/internal/anything",
    *(f"/{name}/health/{kind}" for name in DOCUMENTS for kind in ("live", "ready")),
    "/myself",
    "/openapi.json",
]


@dataclass
class Block:
    """One block of the configuration: its own directives, and its inner blocks."""

    name: str
    directives: list[str] = field(default_factory=list)
    blocks: list["Block"] = field(default_factory=list)

    def inner(self, start: str) -> list["Block"]:
        return [block for block in self.blocks if block.name.startswith(start)]

    def value(self, directive: str) -> str:
        [found] = [line for line in self.directives if line.split()[0] == directive]
        return found.removeprefix(directive).strip()


def _tokens(text: str) -> Iterator[str]:
    """Yield directives and the braces around blocks; a brace inside quotes is part of its directive."""
    text = re.sub(r"(^|\s)#.*$", "", text, flags=re.MULTILINE)
    for match in re.finditer(r"\}|((?:'[^']*'|\"[^\"]*\"|[^;{}'\"])+)([;{])", text):
        words = " ".join((match[1] or "").split())
        yield f"{words} {match[2]}" if words else "}"


def _parse(tokens: Iterator[str], block: Block) -> Block:
    for token in tokens:
        if token == "}":
            return block
        words, end = token.rsplit(" ", 1)
        if end == ";":
            block.directives.append(words)
        else:
            block.blocks.append(_parse(tokens, Block(words)))
    return block


[HTTP] = _parse(_tokens(read("proxy/nginx.conf")), Block("main")).inner("http")
[PLAIN, SECURE] = HTTP.inner("server")
UPSTREAMS = {block.name.split()[1]: block.value("server") for block in HTTP.inner("upstream")}


def location(path: str) -> Block:
    """Return the location that nginx chooses: an exact one, else the longest prefix, unless a pattern matches first."""
    found = {block.name.removeprefix("location ").strip(): block for block in SECURE.inner("location ")}
    if f"= {path}" in found:
        return found[f"= {path}"]
    beginnings = [name for name in found if path.startswith(name.removeprefix("^~ "))]
    best = max(beginnings, key=lambda name: len(name.removeprefix("^~ ")))
    patterns = [name for name in found if name.startswith("~ ") and re.search(name[2:], path)]
    return found[patterns[0]] if patterns and not best.startswith("^~") else found[best]


def backend(path: str) -> str | None:
    """Return the service to which the cluster's ingress passes a path."""
    best: tuple[int, str] | None = None
    for rule in objects("Ingress")["hub"]["spec"]["rules"]:
        for entry in rule["http"]["paths"]:
            start, exact = entry["path"], entry["pathType"] == "Exact"
            if path == start or (not exact and path.startswith(start.rstrip("/") + "/")):
                best = max(best or (0, ""), (len(start) + exact, entry["backend"]["service"]["name"]))
    return best[1].removesuffix("-api") if best else None


@pytest.mark.parametrize(("path", "service"), PUBLIC)
def test_every_public_path_leads_to_its_service(path: str, service: str) -> None:
    assert location(path).value("proxy_pass") == f"http://{service}"
    assert backend(path) == service


@pytest.mark.parametrize("path", FRONT)
def test_front_page_leads_to_reporting(path: str) -> None:
    assert location(path).value("proxy_pass") == "http://reporting"
    assert backend(path) == "reporting"


@pytest.mark.parametrize("path", CLOSED)
def test_other_paths_equal_missing_ones(path: str) -> None:
    status, body = location(path).value("return").split(" ", 1)
    assert int(status) == 404
    assert json.loads(body.strip("'")) == not_found().as_json()
    assert backend(path) is None


def test_the_proxy_leads_to_the_ports_that_compose_opens() -> None:
    ports = {}
    for service in UPSTREAMS:
        [port] = compose()["services"][f"{service}-api"]["ports"]
        ports[service] = port.rsplit(":", 1)[0]
    assert ports == UPSTREAMS


def test_proxy_buffers_no_answer_and_writes_no_request() -> None:
    expected = {
        "proxy_buffering": "off",
        "proxy_max_temp_file_size": "0",
        "proxy_cache": "off",
        "proxy_request_buffering": "off",
        "proxy_next_upstream": "off",
    }
    assert {name: HTTP.value(name) for name in expected} == expected
    assert _size(HTTP.value("client_max_body_size")) == _size(HTTP.value("client_body_buffer_size")) == MAX_BODY
    assert _size(HTTP.value("proxy_buffer_size")) <= 8 * 1024
    assert "sndbuf=" in SECURE.value("listen")
    for block in SECURE.inner("location"):
        assert not [line for line in block.directives if "buffering" in line or "cache" in line]


def _size(words: str) -> int:
    return int(words.removesuffix("k")) * 1024


def test_no_forwarding_header_of_a_client_is_passed_on() -> None:
    blank = {
        line.split()[1].lower()
        for line in HTTP.directives
        if line.startswith("proxy_set_header") and line.endswith('""')
    }
    assert {
        "forwarded",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-real-ip",
        "x-original-url",
        "x-rewrite-url",
    } <= blank
    # One such directive in an inner block would disable all of these.
    for block in [*HTTP.inner("server"), *SECURE.inner("location")]:
        assert not [line for line in block.directives if line.startswith("proxy_set_header")]


def test_only_her_pages_get_the_address_the_proxy_saw() -> None:
    assert "proxy_set_header X-Forwarded-For $told_address" in HTTP.directives
    [told] = HTTP.inner("map $uri $told_address")
    assert told.directives == ['default ""', "~^/my(/|$) $remote_addr"]


def test_no_address_and_no_path_is_logged() -> None:
    assert HTTP.value("access_log") == "off"
    assert re.search(r"^error_log stderr crit;$", read("proxy/nginx.conf"), re.MULTILINE)


def test_only_tls_is_spoken_and_the_rest_is_sent_there() -> None:
    assert "ssl" in SECURE.value("listen").split()
    assert HTTP.value("ssl_protocols") == "TLSv1.2 TLSv1.3"
    assert PLAIN.value("return") == "308 https://hub.example$request_uri"
    assert "max-age=" in SECURE.value("add_header")


def test_absent_service_is_answered_with_a_retryable_problem() -> None:
    [away] = SECURE.inner("location @away")
    status, body = away.value("return").split(" ", 1)
    told = json.loads(body.strip("'"))
    assert int(status) == told["status"] == 503
    assert told["type"] == unavailable("").as_json()["type"]
    assert any(line.startswith("add_header Retry-After ") for line in away.directives)
