"""Takes posted events in: checks them, asks consent once for all, seals, and stores them in one transaction."""

import hmac
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from services.common import metrics
from services.common.database.inserts import AlreadyThere
from services.common.envelope import Header
from services.common.errors import Fault, Problem
from services.common.messaging import contracts
from services.common.messaging.cloudevents import Event, from_structured
from services.common.part_texts import digest
from services.intake import events, store
from services.intake.consent_client import Answer, Sending
from services.intake.context import Context
from services.intake.domain import (
    NOT_AS_APPROVED,
    STARTS_A_THREAD,
    Result,
    faults_of,
    is_of_offers,
    parts_told,
    refused_by_roster,
    thread_of,
)
from services.intake.sealing import parts_to_seal, seal

FEW = 10


def post(context: Context, agency: str, documents: Sequence[object]) -> list[Result]:
    """Take events in and return one result for each, in order; store nothing of withheld or rejected ones."""
    posting = _Posting(context, agency, documents)
    results = posting.run()
    for status, count in Counter(result.status for result in results).items():
        metrics.accepted.add(count, {"outcome": status})
    return results


def check(context: Context, agency: str, documents: Sequence[object]) -> list[Result]:
    """Check events as `post` would and return one result for each, in order; store, seal and send nothing.

    Consent is not asked: to try sending out must not tell an agency what she allows, since nobody would see that it asked.
    """
    return _Posting(context, agency, documents).dry_run()


@dataclass(slots=True)
class _Item:
    """One posted event: the document as it came, the event that was read from it, and what becomes of it."""

    document: object
    event: Event | None = None
    result: Result | None = None
    row: dict[str, Any] | None = None
    """The row to store, with the event to send beside it, once the event is accepted."""
    outgoing: Event | None = None
    repeats: "_Item | None" = None
    """An earlier item of the same request that this one repeats."""

    @property
    def read(self) -> Event:
        """The event; only items whose document has no fault are asked for it."""
        assert self.event is not None  # noqa: S101 - as above
        return self.event


class _Posting:
    """The events of one request: checked, decided together, sealed, then stored in one transaction."""

    def __init__(self, context: Context, agency: str, documents: Sequence[object]) -> None:
        self.context, self.agency = context, agency
        self.now = context.clock.now()
        self.items = [_Item(document) for document in documents]

    def run(self) -> list[Result]:
        """Return every event's result, in order."""
        for item in self.items:
            self._check(item)
        checked = [item for item in self.items if item.event]
        self._find_posted(checked)
        new = self._new(checked)
        asking = [item for item in new if item.read.subject]
        answers = self.context.consent.ask([_sending(item.read) for item in asking])
        decided = {id(item): answer for item, answer in zip(asking, answers, strict=True)}
        # Requests that seal many events take turns: they share one interpreter, and switching between them only costs time.
        with self.context.turn if len(checked) > FEW else nullcontext():
            for item in new:
                self._prepare(item, decided.get(id(item)))
        self._keep(checked)
        return [self._result(item) for item in self.items]

    def dry_run(self) -> list[Result]:
        """Return the result that every event would have before consent is asked, in order."""
        for item in self.items:
            self._check(item)
        checked = [item for item in self.items if item.event]
        self._find_posted(checked)
        for item in self._new(checked):
            item.result = Result(item.read.id, "valid")
        return [replace(self._result(item), dry_run=True) for item in self.items]

    def _new(self, checked: Sequence[_Item]) -> list[_Item]:
        """Return the items that are neither posted before, nor repeated, nor refused by what intake knows of agencies.

        Intake's own table is the authority on agencies, so this holds at once, also while the bus is down.
        """
        new = self._without_repeats([item for item in checked if item.result is None])
        named = {to for item in new if (to := item.read.data.get("to"))}
        if not named and not any(is_of_offers(item.read.type) for item in new):
            return new
        with self.context.database.reading() as connection:
            known = store.get_agencies(connection, {*named, self.agency})
        for item in new:
            item.result = refused_by_roster(item.read, known)
        return [item for item in new if item.result is None]

    def _result(self, item: _Item) -> Result:
        result = _again(self._result(item.repeats)) if item.repeats else item.result
        assert result is not None  # noqa: S101 - every item is rejected, repeated, found or prepared
        return result

    def _check(self, item: _Item) -> None:
        event = from_structured(item.document, self.now)
        faults = event if isinstance(event, list) else faults_of(event, self.agency, self.now)
        if faults or isinstance(event, list):
            item.result = Result(_id_of(item.document), "rejected", reason="invalid", faults=tuple(faults))
        else:
            item.event = event

    def _find_posted(self, items: Sequence[_Item]) -> None:
        """Give the items whose id was posted before their results; nothing of them is stored any more."""
        with self.context.database.reading() as connection:
            posted = store.get_posted(connection, self.agency, {item.read.id for item in items})
        for item in items:
            if row := posted.get(item.read.id):
                same = bytes(row.digest) == self._digest(item)
                item.result = result_of(row, "duplicate") if same else _reused(row.id)
                item.row = None

    def _without_repeats(self, items: Sequence[_Item]) -> list[_Item]:
        """Return the first item of each id. A repetition gets the first one's result; another event is rejected."""
        first: dict[str, _Item] = {}
        for item in items:
            of_first = first.setdefault(item.read.id, item)
            if of_first is item:
                continue
            if self._digest(of_first) == self._digest(item):
                item.repeats = of_first
            else:
                item.result = _reused(item.read.id)
        return list(first.values())

    def _prepare(self, item: _Item, answer: Answer | None) -> None:
        event = item.read
        if answer is None:
            thread = str(self.context.clock.new_id()) if event.type in STARTS_A_THREAD else thread_of(event)
            # Offers go by the hub's own time: a date of the sender's would let it answer after the end.
            timely = replace(event, time=self.now) if is_of_offers(event.type) else event
            passed_on = events.passed_on(timely, thread or self.agency)
            self._accept(item, passed_on, Result(event.id, "accepted", thread=thread))
        elif event.type == "need.recorded.v1":
            self._prepare_need(item, answer.statistics)
        else:
            self._prepare_referral(item, answer)

    def _prepare_need(self, item: _Item, statistics: str | None) -> None:
        if statistics is None:
            item.result = Result(item.read.id, "withheld", reason="no-consent")
            return
        key = str(self.context.clock.new_id())
        self._accept(item, events.counted_need(item.read, key, statistics, self.now), Result(item.read.id, "accepted"))

    def _prepare_referral(self, item: _Item, answer: Answer) -> None:
        event, permitted = item.read, answer.seal
        sealing = parts_to_seal(event.data["parts"], permitted) if permitted else {}
        told = parts_told(event.data["parts"], frozenset(sealing))
        reasons = dict.fromkeys(sorted(answer.not_as_approved - sealing.keys()), NOT_AS_APPROVED)
        if permitted is None or not sealing:
            reason = NOT_AS_APPROVED if reasons else "no-consent"
            item.result = Result(event.id, "withheld", told, reason, reasons=reasons)
            return
        referral = str(self.context.clock.new_id())
        header = Header(referral, event.data["to"], permitted.grant, permitted.epoch, event.type)
        envelope = seal(header, permitted.public_key, sealing)
        # Now, whatever the sender's clock says: her pseudonym is that of the present fiscal year.
        now = replace(event, time=self.now)
        outgoing = events.sealed_referral(now, referral, permitted, sorted(sealing), envelope, answer.statistics)
        self._accept(item, outgoing, Result(event.id, "accepted", told, thread=referral, reasons=reasons))

    def _accept(self, item: _Item, outgoing: Event, result: Result) -> None:
        event = item.read
        item.result, item.outgoing = result, outgoing
        item.row = {
            "source": event.source,
            "id": event.id,
            "type": event.type,
            "status": result.status,
            "parts": dict(result.parts),
            "reasons": dict(result.reasons),
            "thread": result.thread,
            "digest": self._digest(item),
            "received_at": self.now,
        }

    def _keep(self, items: Sequence[_Item]) -> None:
        while accepted := [item for item in items if item.row]:
            try:
                self._store(accepted)
                return
            except AlreadyThere:
                # Another request stored the same id a moment before; its row decides the result here too, and which of
                # several events under that id was the first.
                self._find_posted(items)
                if all(item.row for item in accepted):
                    raise

    def _store(self, accepted: Sequence[_Item]) -> None:
        with self.context.database.transaction() as connection:
            store.add_posted(connection, [item.row for item in accepted if item.row])
            self.context.outbox.add(connection, [item.outgoing for item in accepted if item.outgoing], self.now)

    def _digest(self, item: _Item) -> bytes:
        return hmac.digest(self.context.digest_key, contracts.meaning(item.document), "sha256")


def raise_if_rejected(result: Result) -> Result:
    """Return the result of a request with one event; raise 409 or 422 if it was rejected."""
    if result.status != "rejected":
        return result
    status = 409 if result.reason == "id-reused" else 422
    raise Problem(status, (result.reason or "rejected").replace("_", "-"), "This event cannot be taken.", result.faults)


def _sending(event: Event) -> Sending:
    assert event.subject is not None  # noqa: S101 - only events with a subject are asked about
    parts = event.data.get("parts", {})
    texts = {category: digest(category, part) for category, part in sorted(parts.items())}
    return Sending(event.source, event.subject, event.data.get("to"), event.data.get("purpose"), list(texts), texts)


def result_of(row: store.AnyRow, status: str) -> Result:
    """Return the result that a stored row describes."""
    return Result(row.id, status, row.parts, row.reason, row.thread, reasons=row.reasons or {})


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
