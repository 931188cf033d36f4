"""Exceptions that services share: problems for callers over HTTP, and instructions to the event consumer."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong member of a request. It never holds the value that was sent, which may be personal.

    `member` is a JSON Pointer into the body (`/data/need`), or names a header and claim (`DPoP jti`).
    """

    member: str
    detail: str
    accepted: str | None = None

    def as_json(self) -> dict[str, str]:
        """Return the fault as a member of a problem document, without empty members."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass
class Problem(Exception):
    """An error that is answered with RFC 9457 problem JSON."""

    status: int
    code: str
    title: str
    faults: Sequence[Fault] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status} {self.code}"

    def as_json(self) -> dict[str, object]:
        """Return the problem document (RFC 9457, section 3)."""
        document: dict[str, object] = {
            "type": f"urn:fireweed:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            **self.extra,
        }
        if self.faults:
            document["errors"] = [fault.as_json() for fault in self.faults]
        return document


def not_found() -> Problem:
    """Return the one 404 problem for what is absent and for what the caller may not know of (promise P6)."""
    return Problem(404, "not-found", "Not found.")


def invalid(*faults: Fault, status: int = 400) -> Problem:
    """Return the problem for a request with these faults."""
    return Problem(status, "invalid-request", "Something in this request needs changing.", faults)


def unavailable(title: str, retry_after: int = 2) -> Problem:
    """Return the 503 problem for a part that cannot be reached: nothing was stored, and the request may be sent again."""
    return Problem(503, "unavailable", title, headers={"Retry-After": str(retry_after)})


class Transient(Exception):
    """Tells the consumer to try this event again soon: something outside is down, the event is fine."""


class Park(Exception):
    """Tells the consumer to park this event and every later one of its key until a person has checked it."""
