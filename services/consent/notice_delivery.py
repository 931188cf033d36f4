"""Sends a SET to the place that an agency gave (RFC 8935): encrypted, to a public address, and nowhere else."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import httpx2
from pydantic_core import from_json

from services.common.errors import Fault
from services.common.settings import LOOPBACK
from services.consent.security_event_tokens import TYPE

SECONDS = 5.0
MOST_READ = 4096
ACCEPTED = 202


class Unreachable(Exception):
    """It did not arrive, or nobody said that it did; it may be tried again."""


def addresses(host: str, port: int) -> Sequence[str]:
    """The addresses of a host."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True)
class Pusher:
    """Pushes. With `to_loopback`, also to this machine, without encryption: for tests and for trying things out."""

    to_loopback: bool = False
    seconds: float = SECONDS
    resolve: Callable[[str, int], Sequence[str]] = addresses
    trust: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def fault(self, url: str) -> Fault | None:
        """What is wrong with a place to push to, if anything."""
        try:
            place = urlsplit(url)
            bare = place.hostname and not (place.username or place.password or place.fragment) and url.isascii()
            near = self.to_loopback and place.hostname in LOOPBACK
            if bare and url.isprintable() and place.port != 0 and (place.scheme == "https" or near):
                return None
        except ValueError:
            pass
        return Fault("/url", "Notices cannot be pushed there.", "an https:// URL without a user or fragment")

    def send(self, url: str, token: str) -> str | None:
        """Push one SET. None when the receiver has it, its error code when it could not read it; raises `Unreachable`."""
        if self.fault(url):
            raise Unreachable
        try:
            place = urlsplit(url)
            return asyncio.run(self._exchange(place, _at(place, self._address(place)), token))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise Unreachable from error

    async def _exchange(self, place: SplitResult, there: str, token: str) -> str | None:
        headers = {"host": place.netloc, "content-type": f"application/{TYPE}", "accept": "application/json"}
        sni = {"sni_hostname": place.hostname}
        # One limit for all of it: the client's own are for each read, and who says a little at a time would never meet one.
        # No redirect is followed, no proxy asked: what was checked is what is called.
        async with (
            asyncio.timeout(self.seconds),
            httpx2.AsyncClient(timeout=None, trust_env=False, follow_redirects=False, verify=self.trust) as client,
            client.stream("POST", there, content=token, headers=headers, extensions=sni) as answer,
        ):
            return await _outcome(answer)

    def _address(self, place: SplitResult) -> str:
        """An address that was looked up just now and is public, so that no name can lead into the hub's own network."""
        host = place.hostname or ""
        found = self.resolve(host, place.port or 443)
        allowed = [
            one for one in found if ip_address(one).is_global or (self.to_loopback and ip_address(one).is_loopback)
        ]
        if not allowed or len(allowed) < len(found):
            raise Unreachable
        return allowed[0]


def _at(place: SplitResult, address: str) -> str:
    """The URL with the address in place of the name; the certificate is still checked against the name."""
    host = f"[{address}]" if ":" in address else address
    port = f":{place.port}" if place.port else ""
    return place._replace(netloc=f"{host}{port}").geturl()


async def _outcome(answer: httpx2.Response) -> str | None:
    if answer.status_code == ACCEPTED:
        return None
    read = b""
    async for some in answer.aiter_raw():
        read += some
        if len(read) > MOST_READ:
            raise Unreachable
    # Not the standard library's reader: that one raises no `ValueError` for a thousand open brackets.
    document = from_json(read) if answer.status_code == 400 else None
    if not isinstance(document, dict) or not isinstance(document.get("err"), str):
        raise Unreachable
    return str(document["err"])
