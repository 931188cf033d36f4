"""Calls to URLs that a partner named: over TLS, to a public address, within one time limit, with a bounded answer."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from ipaddress import ip_address
from threading import Thread
from urllib.parse import SplitResult, urlsplit

import httpx2

from services.common.http.certificates import of_the_system
from services.common.http.public_addresses import is_name, is_public
from services.common.settings import LOOPBACK

SECONDS = 5.0
MOST_OF_DATE = 40
MOST_READ = 4096
"""Bytes of an answer's body; a longer one counts as unreachable."""


class Unreachable(Exception):
    """The call did not arrive, or its answer cannot be used; it may be tried again."""


def addresses(host: str, port: int) -> Sequence[str]:
    """Look up the addresses of a host; raise `OSError` if it has none."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a call: status, media type and `Retry-After`, and its body if the caller asked for it."""

    status: int
    content: bytes = b""
    retry_after: str = ""
    media_type: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request: body, headers, the statuses whose body is read, and how many bytes of it at most."""

    content: str
    headers: Mapping[str, str]
    read_on: Collection[int]
    most: int


@dataclass(frozen=True, slots=True)
class OutgoingClient:
    """Calls URLs that a partner named. With `to_loopback`, also this machine, without TLS: for tests and for trying out."""

    to_loopback: bool = False
    seconds: float = SECONDS
    resolve: Callable[[str, int], Sequence[str]] = addresses
    trust: ssl.SSLContext = field(default_factory=of_the_system)

    def accepts(self, url: str) -> bool:
        """Tell whether a URL may be called: https to a DNS name, printable ASCII, without user or fragment.

        An address in place of the name is refused in every notation, also a public one; `post` checks what a name leads to.
        """
        try:
            place = urlsplit(url)
            bare = (
                url.isascii() and url.isprintable() and not ("@" in place.netloc or place.fragment or place.port == 0)
            )
        except ValueError:
            return False
        if self.to_loopback and place.hostname in LOOPBACK:
            return bare and place.scheme in {"https", "http"}
        named = "[" not in place.netloc and is_name(place.hostname or "")
        return bare and named and place.scheme == "https"

    def leads_outside(self, url: str) -> bool:
        """Tell whether a URL that may be called leads to public addresses now; False also for a name without any.

        The answer is the same for both, so that nobody can find out names of the hub's own network by it.
        """
        place = urlsplit(url)
        try:
            return bool(self._address(place))
        except (Unreachable, OSError, ValueError):
            return False

    def post(self, url: str, content: str, headers: Mapping[str, str], read_on: Collection[int] = ()) -> Answer:
        """Post `content`; return the answer, with its body for the statuses in `read_on`. Raises `Unreachable`."""
        return self._call("POST", url, _Sent(content, headers, read_on, MOST_READ))

    def get(self, url: str, headers: Mapping[str, str], most: int) -> Answer:
        """Fetch a document of at most `most` bytes; return the answer, with its body if the status is 200.

        Raises `Unreachable`. A redirect is returned as the answer that it is.
        """
        # A compressed body could be a thousand times longer than its bytes on the wire.
        return self._call("GET", url, _Sent("", {**headers, "accept-encoding": "identity"}, {200}, most))

    def _call(self, method: str, url: str, sent: "_Sent") -> Answer:
        if not self.accepts(url):
            raise Unreachable
        try:
            place = urlsplit(url)
            # The certificate is still checked against the name.
            pinned = place._replace(netloc=_netloc(self._address(place), place.port)).geturl()
            return asyncio.run(self._exchange(method, place, pinned, sent))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise Unreachable from error

    async def _exchange(self, method: str, place: SplitResult, pinned: str, sent: "_Sent") -> Answer:
        # Certificates name a host without the dot that ends an absolute name.
        host = (place.hostname or "").removesuffix(".")
        sni = {"sni_hostname": host}
        headers = {**sent.headers, "host": _netloc(host, place.port)}
        # One limit for all of it: the client's own limits are per read, and a peer that sends a byte at a time never meets
        # one. No redirect is followed and no proxy asked: only the address that was checked is called.
        async with (
            asyncio.timeout(self.seconds),
            httpx2.AsyncClient(timeout=None, trust_env=False, follow_redirects=False, verify=self.trust) as client,
            client.stream(method, pinned, content=sent.content, headers=headers, extensions=sni) as answer,
        ):
            body = await _bounded(answer, sent.most) if answer.status_code in sent.read_on else b""
            told = (answer.headers.get("retry-after", "")[:MOST_OF_DATE], answer.headers.get("content-type", ""))
            return Answer(answer.status_code, body, *told)

    def _address(self, place: SplitResult) -> str:
        """Look up the addresses now and return one; raise `Unreachable` unless all are public.

        So no name can lead into the hub's own network, and none can lead to another address at the next look-up.
        """
        found = self._addresses_of(place.hostname or "", place.port or 443)
        if not found or not all(self._may_call(one) for one in found):
            raise Unreachable
        return found[0]

    def _addresses_of(self, host: str, port: int) -> Sequence[str]:
        """Look up a name; raise `TimeoutError` without an answer in time. The system's own look-up has no limit to set.

        Whoever serves the name decides how long that takes, and would keep the caller's thread for so long.
        """
        found = Future[Sequence[str]]()

        def resolve() -> None:
            try:
                found.set_result(self.resolve(host, port))
            except Exception as error:  # noqa: BLE001 - raised in the thread that waits
                found.set_exception(error)

        Thread(target=resolve, daemon=True).start()
        return found.result(self.seconds)

    def _may_call(self, address: str) -> bool:
        return is_public(address) or (self.to_loopback and ip_address(address).is_loopback)


def _netloc(host: str, port: int | None) -> str:
    bracketed = f"[{host}]" if ":" in host else host
    return f"{bracketed}:{port}" if port else bracketed


async def _bounded(answer: httpx2.Response, most: int) -> bytes:
    body = b""
    async for some in answer.aiter_raw():
        body += some
        if len(body) > most:
            raise Unreachable
    return body
