"""Pushes SETs to the URLs that agencies gave, and reads their answers (RFC 8935)."""

from dataclasses import dataclass

from pydantic_core import from_json

from services.common.errors import Fault
from services.common.http.outgoing import OutgoingClient, Unreachable
from services.consent.security_event_tokens import TYPE

ACCEPTED, REFUSED = 202, 400


@dataclass(frozen=True, slots=True)
class Pusher:
    """Pushes SETs over a client for outgoing calls."""

    client: OutgoingClient

    def fault(self, url: str) -> Fault | None:
        """Return what is wrong with a URL to push to; None if it may be called."""
        if self.client.accepts(url):
            return None
        accepted = "an https:// URL with a DNS name in ASCII, without a user or fragment"
        return Fault("/url", "Notices cannot be pushed there.", accepted)

    def send(self, url: str, token: str) -> str | None:
        """Push one SET. Return None if the receiver has it, its error code if it could not read it; raise `Unreachable`."""
        headers = {"content-type": f"application/{TYPE}", "accept": "application/json"}
        answer = self.client.post(url, token, headers, read_on={REFUSED})
        return None if answer.status == ACCEPTED else _error_code(answer.content)


def _error_code(content: bytes) -> str:
    try:
        # Unlike the standard library's reader, this one raises `ValueError` for a thousand open brackets.
        document = from_json(content)
    except ValueError as error:
        raise Unreachable from error
    if not isinstance(document, dict) or not isinstance(document.get("err"), str):
        raise Unreachable
    return str(document["err"])
