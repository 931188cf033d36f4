"""The two vocabularies of failure: problems for people who call over HTTP, and orders for the event consumer."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Fault:
    """One member of a request that is wrong, never with the value that was sent (it may be personal).

    `member` is a JSON Pointer into the body (`/data/need`), or names a header and claim (`DPoP jti`).
    """

    member: str
    detail: str
    accepted: str | None = None

    def as_json(self) -> dict[str, str]:
        """The fault as it stands in a problem document, without empty members."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass
class Problem(Exception):
    """An error that a caller is told of as RFC 9457 problem JSON."""

    status: int
    code: str
    title: str
    faults: Sequence[Fault] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status} {self.code}"

    def as_json(self) -> dict[str, object]:
        """The problem document (RFC 9457, section 3)."""
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
    """The one answer for what is absent and for what the caller may not know of (promise P6)."""
    return Problem(404, "not-found", "Not found.")


def invalid(*faults: Fault, status: int = 400) -> Problem:
    """A request that cannot be understood as it stands."""
    return Problem(status, "invalid-request", "Something in this request needs changing.", faults)


def unavailable(title: str, retry_after: int = 2) -> Problem:
    """A part of the hub cannot be reached; nothing was stored and the same request may be sent again."""
    return Problem(503, "unavailable", title, headers={"Retry-After": str(retry_after)})


class Transient(Exception):
    """The consumer should try this event again soon: something outside is down, the event is fine."""


class Park(Exception):
    """The consumer should set this event and every later one of its key aside for a person to look at."""
