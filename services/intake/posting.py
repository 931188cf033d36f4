"""Takes posted events in: checks them, asks consent once for all, seals, and stores them in one transaction."""

import hmac
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from services.common import metrics
from services.common.database.inserts import AlreadyThere
from services.common.envelope import Header
from services.common.errors import Fault, Problem
from services.common.messaging import contracts
from services.common.messaging.cloudevents import Event, from_structured
from services.intake import events, store
from services.intake.consent_client import Answer, Seal, Sending
from services.intake.context import Context
from services.intake.domain import STARTS_A_THREAD, Result, faults_of, parts_told, thread_of
from services.intake.sealing import seal

FEW = 10


def post(context: Context, agency: str, documents: Sequence[object]) -> list[Result]:
    """Take events in and return one result for each, in order; store nothing of withheld or rejected ones."""
    posting = _Posting(context, agency, documents)
    results = posting.run()
    for status, count in Counter(result.status for result in results).items():
        metrics.accepted.add(count, {"outcome": status})
    return results


class _Posting:
    """The events of one request: checked, decided together, sealed, then stored in one transaction."""

    def __init__(self, context: Context, agency: str, documents: Sequence[object]) -> None:
        self.context, self.agency, self.documents = context, agency, documents
        self.now = context.clock.now()
        self.names: dict[int, str] = {}
        self.results: dict[int, Result] = {}
        self.rows: dict[int, dict[str, Any]] = {}
        self.outgoing: dict[int, Event] = {}
        self.repeats: dict[int, int] = {}

    def run(self) -> list[Result]:
        """Return every event's result, in order."""
        checked = self._checked()
        self.names = {place: event.id for place, event in checked.items()}
        self.results |= self._known()
        new = self._without_repeats({place: event for place, event in checked.items() if place not in self.results})
        asking = {place: event for place, event in new.items() if event.subject}
        answers = self.context.consent.ask([_sending(event) for event in asking.values()])
        decided = dict(zip(asking, answers, strict=True))
        # Requests that seal many events take turns: they share one interpreter, and switching between them only costs time.
        with self.context.turn if len(checked) > FEW else nullcontext():
            for place, event in new.items():
                self._prepare(place, event, decided.get(place))
        self._keep()
        for place, first in self.repeats.items():
            self.results[place] = _again(self.results[first])
        return [self.results[place] for place in range(len(self.documents))]

    def _checked(self) -> dict[int, Event]:
        checked: dict[int, Event] = {}
        for place, document in enumerate(self.documents):
            event = from_structured(document, self.now)
            faults = event if isinstance(event, list) else faults_of(event, self.agency, self.now)
            if faults or isinstance(event, list):
                self.results[place] = Result(_id_of(document), "rejected", reason="invalid", faults=tuple(faults))
            else:
                checked[place] = event
        return checked

    def _known(self) -> dict[int, Result]:
        """Return, by place, the results of the events that were posted before."""
        with self.context.database.reading() as connection:
            known = store.get_posted(connection, self.agency, set(self.names.values()))
        rows = {place: known[name] for place, name in self.names.items() if name in known}
        return {
            place: result_of(row, "duplicate") if bytes(row.digest) == self._digest(place) else _reused(row.id)
            for place, row in rows.items()
        }

    def _without_repeats(self, posted: Mapping[int, Event]) -> dict[int, Event]:
        """Return the first event of each id. A repetition gets the first one's result; another event is rejected."""
        first: dict[str, int] = {}
        for place, event in posted.items():
            of_first = first.setdefault(event.id, place)
            if of_first == place:
                continue
            if self._digest(of_first) == self._digest(place):
                self.repeats[place] = of_first
            else:
                self.results[place] = _reused(event.id)
        return {place: posted[place] for place in first.values()}

    def _prepare(self, place: int, event: Event, answer: Answer | None) -> None:
        if answer is None:
            thread = str(self.context.clock.new_id()) if event.type in STARTS_A_THREAD else thread_of(event)
            self._accept(place, event, events.passed_on(event, thread or self.agency), thread=thread)
        elif not answer.linked:
            fault = Fault("/subject", "Your agency is not linked to anyone by this name.", "a ppid this hub gave you")
            self.results[place] = Result(event.id, "rejected", reason="invalid", faults=(fault,))
        elif event.type == "need.recorded.v1":
            self._prepare_need(place, event, answer.statistics)
        else:
            self._prepare_referral(place, event, answer.seal, answer.statistics)

    def _prepare_need(self, place: int, event: Event, statistics: str | None) -> None:
        if statistics is None:
            self.results[place] = Result(event.id, "withheld", reason="not-counted")
            return
        key = str(self.context.clock.new_id())
        self._accept(place, event, events.counted_need(event, key, statistics, self.now))

    def _prepare_referral(self, place: int, event: Event, permitted: Seal | None, statistics: str | None) -> None:
        parts = event.data["parts"]
        sealed = permitted.categories & parts.keys() if permitted else frozenset[str]()
        told = parts_told(parts, frozenset(sealed))
        if permitted is None or not sealed:
            self.results[place] = Result(event.id, "withheld", told, "no-consent")
            return
        referral = str(self.context.clock.new_id())
        header = Header(referral, event.data["to"], permitted.grant, permitted.epoch, event.type)
        envelope = seal(header, permitted.public_key, {category: parts[category] for category in sealed})
        # Now, whatever the sender's clock says: her pseudonym is that of the present fiscal year.
        outgoing = events.sealed_referral(replace(event, time=self.now), referral, permitted, envelope, statistics)
        self._accept(place, event, outgoing, told, referral)

    def _accept(
        self, place: int, event: Event, outgoing: Event, parts: dict[str, str] | None = None, thread: str | None = None
    ) -> None:
        self.results[place] = Result(event.id, "accepted", parts or {}, thread=thread)
        self.outgoing[place] = outgoing
        self.rows[place] = {
            "source": event.source,
            "id": event.id,
            "type": event.type,
            "status": "accepted",
            "parts": parts or {},
            "thread": thread,
            "digest": self._digest(place),
            "received_at": self.now,
        }

    def _keep(self) -> None:
        while self.rows:
            try:
                self._store()
                return
            except AlreadyThere:
                # Another request stored the same id a moment before; its row decides the result here too, and which of
                # several events under that id was the first.
                known = self._known()
                if not known.keys() & self.rows.keys():
                    raise
                self.results |= known
                self.rows = {place: row for place, row in self.rows.items() if place not in known}

    def _store(self) -> None:
        with self.context.database.transaction() as connection:
            store.add_posted(connection, self.rows.values())
            self.context.outbox.add(connection, [self.outgoing[place] for place in self.rows], self.now)

    def _digest(self, place: int) -> bytes:
        return hmac.digest(self.context.digest_key, contracts.meaning(self.documents[place]), "sha256")


def raise_if_rejected(result: Result) -> Result:
    """Return the result of a request with one event; raise 409 or 422 if it was rejected."""
    if result.status != "rejected":
        return result
    status = 409 if result.reason == "id-reused" else 422
    raise Problem(status, result.reason or "rejected", "This event cannot be taken.", result.faults)


def _sending(event: Event) -> Sending:
    assert event.subject is not None  # noqa: S101 - only events with a subject are asked about
    categories = sorted(event.data.get("parts", {}))
    return Sending(event.source, event.subject, event.data.get("to"), event.data.get("purpose"), categories)


def result_of(row: store.AnyRow, status: str) -> Result:
    """Return the result that a stored row describes."""
    return Result(row.id, status, row.parts, row.reason, row.thread)


def _again(first: Result) -> Result:
    """Return the result for a repetition in one batch: a duplicate if the first was accepted, else the same result."""
    return replace(first, status="duplicate") if first.status == "accepted" else first


def _reused(event_id: str) -> Result:
    fault = Fault("/id", "This id was used before, for another event.", "a new id for each event")
    return Result(event_id, "rejected", reason="id-reused", faults=(fault,))


def _id_of(document: object) -> str | None:
    """Return the id to answer with; None if the sender gave none that is safe to repeat."""
    given = document.get("id") if isinstance(document, dict) else None
    return given if isinstance(given, str) and given.isascii() and given.isprintable() and len(given) <= 128 else None
