"""Runs concurrent acts on one survivor in random orders, one step at a time, on a real database; a seed draws the order.

The survivor revokes, pauses, resumes and grants again; events are sealed for an agency; openers open and send, and some die
half-way. Each step runs the product's own code up to its next stop; between two stops only one actor runs, unless it waits
for a lock. Afterwards the recorded openings are compared with what the survivor was told.
"""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from random import Random
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from sqlalchemy import Connection

from services.common.envelope import Header
from services.common.errors import Problem
from services.consent.context import Context
from services.consent.handlers.disclosures.decisions import Sending, decide_sendings
from services.consent.handlers.disclosures.openings import Opening, begin_opening, begin_openings
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Rule, Wish
from services.consent.ledger import entries as ledger
from services.consent.locks import Free, SubjectLocks
from services.intake.sealing import seal
from tests.support.consent import Person

DEADLINE, A_WHILE = 60.0, 0.02
POLLS = 20
"""The deadline is split into this many waits: a machine that stood still shortens one wait, not all of them."""
CHUNKS = 3
PARTS = {"summary": {"text": "Sample Aspen would like a quiet place."}, "housing": {"needs": "A room of her own."}}
ACTS = ("revoke", "revoke", "revoke", "pause", "restrict", "grant")
EVERYTHING = "everything"


class Scheduler:
    """Lets one actor at a time, drawn at random, run to its next stop."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._arrivals: SimpleQueue[tuple[int, str | None]] = SimpleQueue()
        self._turns: dict[int, threading.Semaphore] = {}
        self._me = threading.local()
        self.shared = self.writing = 0
        self.failures: list[BaseException] = []

    def stop(self, name: str) -> None:
        """Block the calling actor until its turn; `name` says which step comes next."""
        self._arrivals.put((self._me.number, name))
        self._turns[self._me.number].acquire()

    def run(self, bodies: Sequence[Callable[[], None]]) -> None:
        """Run all actors to their end; raise the first error that one of them raised."""
        self._turns = {number: threading.Semaphore(0) for number in range(len(bodies))}
        threads = [threading.Thread(target=self._act, args=item, daemon=True) for item in enumerate(bodies)]
        for thread in threads:
            thread.start()
        running, blocked, waiting = set(self._turns), set[int](), dict[int, str]()
        while running or waiting:
            while running - blocked or (running and not waiting):
                self._arrive(running, blocked, waiting)
            if waiting:
                number = self._chance.choice(sorted(waiting))
                name = waiting.pop(number)
                running.add(number)
                if self._must_wait(name):
                    blocked.add(number)
                self._turns[number].release()
        for thread in threads:
            thread.join(DEADLINE)
        if self.failures:
            raise self.failures[0]

    def _arrive(self, running: set[int], blocked: set[int], waiting: dict[int, str]) -> None:
        """Note one actor that has reached a stop; an actor that reaches none within a while is waiting for a lock."""
        arrived = self._arrival(A_WHILE, 1) if waiting else self._arrival(DEADLINE / POLLS, POLLS)
        if arrived is None:
            assert waiting, "nobody goes on"
            blocked |= running
            return
        number, name = arrived
        running.discard(number)
        blocked.discard(number)
        if name is not None:
            waiting[number] = name

    def _arrival(self, seconds: float, polls: int) -> tuple[int, str | None] | None:
        for _ in range(polls):
            with suppress(Empty):
                return self._arrivals.get(timeout=seconds)
        return None

    def _must_wait(self, name: str) -> bool:
        if name == "lock to change":
            self.writing += 1
            return self.shared > 0 or self.writing > 1
        return name in {"lock to open", "try to lock"} and self.writing > 0

    def _act(self, number: int, body: Callable[[], None]) -> None:
        self._me.number = number
        try:
            self.stop("begin")
            body()
        except BaseException as error:  # noqa: BLE001 - `run` raises it in the thread of the test
            self.failures.append(error)
        finally:
            self._arrivals.put((number, None))


class StoppingLocks:
    """The locks of the context, with a stop before and after each lock is taken, and before each is released."""

    def __init__(self, locks: SubjectLocks, scheduler: Scheduler) -> None:
        self._locks, self._conductor = locks, scheduler

    @contextmanager
    def changing(self, subject: UUID) -> Iterator[Connection]:
        """Take the exclusive lock of a survivor."""
        self._conductor.stop("lock to change")
        try:
            with self._locks.changing(subject) as connection:
                self._conductor.stop("change")
                yield connection
        finally:
            self._conductor.writing -= 1

    @contextmanager
    def opening(self, subjects: Sequence[UUID]) -> Iterator[Connection]:
        """Take the shared locks of these survivors."""
        self._conductor.stop("lock to open")
        with self._locks.opening(subjects) as connection, self._holding():
            yield connection

    @contextmanager
    def opening_free(self, subjects: Collection[UUID]) -> Iterator[Free]:
        """Take the shared locks of those survivors who are free."""
        self._conductor.stop("try to lock")
        with self._locks.opening_free(subjects) as had, self._holding():
            yield had

    @contextmanager
    def _holding(self) -> Iterator[None]:
        self._conductor.shared += 1
        try:
            self._conductor.stop("decide")
            yield
        finally:
            self._conductor.shared -= 1


@dataclass(frozen=True, slots=True)
class RequestedEnvelope:
    """A sealed event and the grant it was sealed under."""

    text: str
    grant: UUID


@dataclass(slots=True)
class Outcome:
    """The events of one interleaving, as seen from outside."""

    closed: set[object] = field(default_factory=set)
    """Grants that the survivor was told have ended, or `EVERYTHING`."""
    late: list[str] = field(default_factory=list)
    """Grants under which bytes left although the survivor had been told that none would."""
    sent: int = 0
    refused: int = 0
    died: int = 0
    openings: dict[UUID, bool] = field(default_factory=dict)
    """Openings of which bytes have left, and whether each was finished."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The setting of an interleaving: a context, a sending and a receiving agency, and an envelope of another survivor."""

    context: Context
    sender: str
    recipient: str
    beside: RequestedEnvelope | None = None


@dataclass(slots=True)
class Survivor:
    """A survivor over several interleavings: her grants, and an envelope whose grant is live."""

    person: Person
    grants: set[object] = field(default_factory=set)
    envelope: RequestedEnvelope | None = None


def run_interleaving(setting: Setting, seed: int, survivor: Survivor) -> Outcome:
    """Run one interleaving and return its outcome; raise `AssertionError` if the ledger does not match it."""
    chance = Random(seed)  # noqa: S311 - nothing here is a secret
    scheduler, outcome = Scheduler(chance), Outcome()
    if survivor.envelope is None:
        survivor.grants.add(_grant(setting, survivor.person, chance))
        survivor.envelope = sealed(setting, survivor.person)
    assert survivor.envelope is not None
    envelopes, before = [survivor.envelope], _told(setting.context, survivor.person)
    moved = replace(setting, context=replace(setting.context, locks=StoppingLocks(setting.context.locks, scheduler)))
    draws = [Random(chance.random()) for _ in range(3)]  # noqa: S311 - as above

    def publish() -> None:
        scheduler.stop("ask what may be sealed")
        if envelope := sealed(moved, survivor.person, scheduler.stop):
            envelopes.append(envelope)

    openers = [_Opener(moved, scheduler, outcome, draw, envelopes).run for draw in draws[1:]]
    scheduler.run([_SurvivorActor(moved, scheduler, outcome, draws[0], survivor).run, publish, *openers])
    after = _told(setting.context, survivor.person)
    after.subtract(before)
    _check_ledger(after, outcome)
    return outcome


def sealed(
    setting: Setting, person: Person, between: Callable[[str], None] = lambda _: None
) -> RequestedEnvelope | None:
    """Do what intake does: ask what may be sealed, then seal; return None if nothing may be sealed."""
    sending = Sending(setting.sender, person.ppid, setting.recipient, "referral", frozenset(PARTS))
    [answer] = decide_sendings(setting.context, [sending])
    between("seal")
    if answer.seal is None:
        return None
    name = str(setting.context.clock.new_id())
    header = Header(name, setting.recipient, answer.seal.grant, answer.seal.epoch, "referral.requested.v1")
    parts = {category: PARTS[category] for category in answer.seal.categories}
    key = X25519PublicKey.from_public_bytes(answer.seal.public_key)
    return RequestedEnvelope(seal(header, key, parts), UUID(answer.seal.grant))


def _grant(setting: Setting, person: Person, chance: Random) -> UUID:
    wish = Wish(setting.recipient, "referral", sorted(PARTS), chance.randint(1, 90))
    return grants.give_grant(setting.context, person.subject, wish)


@dataclass(slots=True)
class _SurvivorActor:
    """The survivor as an actor: one or two acts, one after the other."""

    setting: Setting
    scheduler: Scheduler
    outcome: Outcome
    chance: Random
    survivor: Survivor

    @property
    def person(self) -> Person:
        return self.survivor.person

    def run(self) -> None:
        for act in self.chance.sample(ACTS, self.chance.randint(1, 2)):
            getattr(self, act)()

    def revoke(self) -> None:
        if self.chance.random() < 0.3:
            grants.revoke_all(self.setting.context, self.person.subject)
            self.outcome.closed |= self.survivor.grants
        elif self.survivor.envelope is not None:
            grants.revoke_grant(self.setting.context, self.person.subject, self.survivor.envelope.grant)
            self.outcome.closed.add(self.survivor.envelope.grant)
        self.survivor.envelope = None

    def grant(self) -> None:
        self.survivor.grants.add(_grant(self.setting, self.person, self.chance))

    def pause(self) -> None:
        grants.pause(self.setting.context, self.person.subject)
        self._closed_for_a_while()
        grants.resume(self.setting.context, self.person.subject)

    def restrict(self) -> None:
        rule = grants.restrict(self.setting.context, self.person.subject, Rule(agency=self.setting.recipient))
        self._closed_for_a_while()
        grants.lift_restriction(self.setting.context, self.person.subject, rule)

    def _closed_for_a_while(self) -> None:
        self.outcome.closed.add(EVERYTHING)
        for _ in range(4):
            self.scheduler.stop("wait")
        self.outcome.closed.discard(EVERYTHING)


@dataclass(slots=True)
class _Opener:
    """An agency's client: opens an envelope, alone or in a batch, and sends it piece by piece, unless it dies."""

    setting: Setting
    scheduler: Scheduler
    outcome: Outcome
    chance: Random
    envelopes: list[RequestedEnvelope]

    def run(self) -> None:
        self.scheduler.stop("take an envelope")
        envelope = self.chance.choice(self.envelopes)
        opening = self._begin(envelope)
        if opening is None or not opening.envelopes[0].opened:
            self.outcome.refused += 1
            if opening is not None and opening.opened:
                opening.finish("delivered")
            return
        name = opening.envelopes[0].opening
        self.outcome.openings[name] = False
        dies = self.chance.choice([*range(CHUNKS + 1), *[None] * 12])
        for chunk in range(CHUNKS + 1):
            self.scheduler.stop("send" if chunk < CHUNKS else "finish")
            if chunk == dies:
                self._die(opening)
                return
            if chunk < CHUNKS:
                self._send(envelope)
        opening.finish("delivered")
        self.outcome.openings[name] = True

    def _begin(self, envelope: RequestedEnvelope) -> Opening | None:
        context, recipient = self.setting.context, self.setting.recipient
        if self.setting.beside and self.chance.random() < 0.3:
            return begin_openings(context, recipient, [envelope.text, self.setting.beside.text])
        with suppress(Problem):
            return begin_opening(context, recipient, envelope.text)
        return None

    def _send(self, envelope: RequestedEnvelope) -> None:
        self.outcome.sent += 1
        if self.outcome.closed & {envelope.grant, EVERYTHING}:
            self.outcome.late.append(str(envelope.grant))

    def _die(self, opening: Opening) -> None:
        """Behave like a killed process: break the database connection and record nothing more."""
        self.outcome.died += 1
        assert opening.connection is not None
        opening.connection.invalidate()
        opening.held.close()


def _told(context: Context, person: Person) -> Counter[str]:
    """Return how many acts of each kind her ledger tells of, repeats included."""
    with context.database.reading() as connection:
        rows = ledger.about(connection, person.subject, None, 10_000)
    told = Counter[str]()
    for row in rows:
        if "times" not in row.detail:  # an entry that tells again how many there were
            told[row.kind] += row.times
    return told


def _check_ledger(told: Counter[str], outcome: Outcome) -> None:
    """Check that each opening has its intent in the ledger, and its outcome unless it died.

    An intent whose envelope cannot be opened after all sends nothing and ends as a refusal.
    """
    assert told["opening.delivered"] == sum(outcome.openings.values()), told
    not_opened = told["opening.intended"] - len(outcome.openings)
    assert 0 <= not_opened <= told["opening.refused"], told
