"""Random orders of what may happen to one survivor at once, on a real database: one step at a time, drawn by a seed.

She takes back, pauses, resumes and grants again; events are sealed for an agency; openers open and send, and some die
half-way. Every step is the product's own code up to its next stop; between two stops only one of them runs, unless it
waits for a lock. What is written down on the way is then held against what she was told.
"""

import threading
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

PATIENCE, A_WHILE = 60.0, 0.02
LOOKS = 20
"""So often nobody may be seen to go on: a machine that stood still cuts one look short, not all of them."""
CHUNKS = 3
PARTS = {"summary": {"text": "Sample Aspen would like a quiet place."}, "housing": {"needs": "A room of her own."}}
ACTS = ("revoke", "revoke", "revoke", "pause", "restrict", "grant")
EVERYTHING = "everything"


class Conductor:
    """Lets one actor at a time go on to its next stop, drawn by chance."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._arrivals: SimpleQueue[tuple[int, str | None]] = SimpleQueue()
        self._turns: dict[int, threading.Semaphore] = {}
        self._me = threading.local()
        self.shared = self.writing = 0
        self.failures: list[BaseException] = []

    def stop(self, name: str) -> None:
        """Wait for one's turn; `name` says what comes next."""
        self._arrivals.put((self._me.number, name))
        self._turns[self._me.number].acquire()

    def run(self, bodies: Sequence[Callable[[], None]]) -> None:
        """Let them all come to their end."""
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
            thread.join(PATIENCE)
        if self.failures:
            raise self.failures[0]

    def _arrive(self, running: set[int], blocked: set[int], waiting: dict[int, str]) -> None:
        """Take in one who has come to a stop. Who does not within a while waits for a lock that was taken meanwhile."""
        arrived = self._arrival(A_WHILE, 1) if waiting else self._arrival(PATIENCE / LOOKS, LOOKS)
        if arrived is None:
            assert waiting, "nobody goes on"
            blocked |= running
            return
        number, name = arrived
        running.discard(number)
        blocked.discard(number)
        if name is not None:
            waiting[number] = name

    def _arrival(self, seconds: float, looks: int) -> tuple[int, str | None] | None:
        for _ in range(looks):
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
        except BaseException as error:  # noqa: BLE001 - told by `run`, in the thread of the test
            self.failures.append(error)
        finally:
            self._arrivals.put((number, None))


class StoppingLocks:
    """The locks of the room, with a stop before and after each is taken, and before each is let go."""

    def __init__(self, locks: SubjectLocks, conductor: Conductor) -> None:
        self._locks, self._conductor = locks, conductor

    @contextmanager
    def changing(self, subject: UUID) -> Iterator[Connection]:
        """Hers alone."""
        self._conductor.stop("lock to change")
        try:
            with self._locks.changing(subject) as connection:
                self._conductor.stop("change")
                yield connection
        finally:
            self._conductor.writing -= 1

    @contextmanager
    def opening(self, subjects: Sequence[UUID]) -> Iterator[Connection]:
        """Shared."""
        self._conductor.stop("lock to open")
        with self._locks.opening(subjects) as connection, self._holding():
            yield connection

    @contextmanager
    def opening_free(self, subjects: Collection[UUID]) -> Iterator[Free]:
        """Shared, of several."""
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
class Story:
    """What happened in one interleaving, as seen from outside."""

    closed: set[object] = field(default_factory=set)
    """What she has been told is over: a grant, or everything."""
    late: list[str] = field(default_factory=list)
    """Bytes that left although she had been told that they would not."""
    sent: int = 0
    refused: int = 0
    died: int = 0
    openings: dict[UUID, bool] = field(default_factory=dict)
    """Openings of which bytes have left, and whether they came to their end."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where it is played: a room, an agency that sends and one that receives, and a box of somebody else's."""

    context: Context
    sender: str
    recipient: str
    beside: RequestedEnvelope | None = None


@dataclass(slots=True)
class Life:
    """A survivor over several interleavings: the grants she has given, and a box whose grant is live."""

    person: Person
    grants: set[object] = field(default_factory=set)
    box: RequestedEnvelope | None = None


def play(stage: Stage, seed: int, life: Life) -> Story:
    """One interleaving; raises `AssertionError` when the ledger does not tell what happened."""
    chance = Random(seed)  # noqa: S311 - nothing here is a secret
    conductor, story = Conductor(chance), Story()
    if life.box is None:
        life.grants.add(_grant(stage, life.person, chance))
        life.box = sealed(stage, life.person)
    assert life.box is not None
    envelopes = [life.box]
    moved = replace(stage, context=replace(stage.context, locks=StoppingLocks(stage.context.locks, conductor)))
    draws = [Random(chance.random()) for _ in range(3)]  # noqa: S311 - as above

    def publish() -> None:
        conductor.stop("ask what may be sealed")
        if box := sealed(moved, life.person, conductor.stop):
            envelopes.append(box)

    openers = [_Opener(moved, conductor, story, draw, envelopes).run for draw in draws[1:]]
    conductor.run([_Her(moved, conductor, story, draws[0], life).run, publish, *openers])
    _check_ledger(stage.context, life.person, story)
    return story


def sealed(stage: Stage, person: Person, between: Callable[[str], None] = lambda _: None) -> RequestedEnvelope | None:
    """What intake does: ask what may be sealed, then seal; None when nothing may be."""
    sending = Sending(stage.sender, person.ppid, stage.recipient, "referral", frozenset(PARTS))
    [answer] = decide_sendings(stage.context, [sending])
    between("seal")
    if answer.seal is None:
        return None
    name = str(stage.context.clock.new_id())
    header = Header(name, stage.recipient, answer.seal.grant, answer.seal.epoch, "referral.requested.v1")
    parts = {category: PARTS[category] for category in answer.seal.categories}
    key = X25519PublicKey.from_public_bytes(answer.seal.public_key)
    return RequestedEnvelope(seal(header, key, parts), UUID(answer.seal.grant))


def _grant(stage: Stage, person: Person, chance: Random) -> UUID:
    wish = Wish(stage.recipient, "referral", sorted(PARTS), chance.randint(1, 90))
    return grants.give_grant(stage.context, person.subject, wish)


@dataclass(slots=True)
class _Her:
    """She: an act or two, one after the other."""

    stage: Stage
    conductor: Conductor
    story: Story
    chance: Random
    life: Life

    @property
    def person(self) -> Person:
        return self.life.person

    def run(self) -> None:
        for act in self.chance.sample(ACTS, self.chance.randint(1, 2)):
            getattr(self, act)()

    def revoke(self) -> None:
        if self.chance.random() < 0.3:
            grants.revoke_all(self.stage.context, self.person.subject)
            self.story.closed |= self.life.grants
        elif self.life.box is not None:
            grants.revoke_grant(self.stage.context, self.person.subject, self.life.box.grant)
            self.story.closed.add(self.life.box.grant)
        self.life.box = None

    def grant(self) -> None:
        self.life.grants.add(_grant(self.stage, self.person, self.chance))

    def pause(self) -> None:
        grants.pause(self.stage.context, self.person.subject)
        self._closed_for_a_while()
        grants.resume(self.stage.context, self.person.subject)

    def restrict(self) -> None:
        rule = grants.restrict(self.stage.context, self.person.subject, Rule(agency=self.stage.recipient))
        self._closed_for_a_while()
        grants.lift_restriction(self.stage.context, self.person.subject, rule)

    def _closed_for_a_while(self) -> None:
        self.story.closed.add(EVERYTHING)
        for _ in range(4):
            self.conductor.stop("wait")
        self.story.closed.discard(EVERYTHING)


@dataclass(slots=True)
class _Opener:
    """An agency's client: takes a box, by itself or beside another, and sends it on piece by piece, unless it dies."""

    stage: Stage
    conductor: Conductor
    story: Story
    chance: Random
    envelopes: list[RequestedEnvelope]

    def run(self) -> None:
        self.conductor.stop("take a box")
        box = self.chance.choice(self.envelopes)
        opening = self._begin(box)
        if opening is None or not opening.envelopes[0].opened:
            self.story.refused += 1
            if opening is not None and opening.opened:
                opening.finish("delivered")
            return
        name = opening.envelopes[0].opening
        self.story.openings[name] = False
        dies = self.chance.choice([*range(CHUNKS + 1), *[None] * 12])
        for chunk in range(CHUNKS + 1):
            self.conductor.stop("send" if chunk < CHUNKS else "finish")
            if chunk == dies:
                self._die(opening)
                return
            if chunk < CHUNKS:
                self._send(box)
        opening.finish("delivered")
        self.story.openings[name] = True

    def _begin(self, box: RequestedEnvelope) -> Opening | None:
        context, recipient = self.stage.context, self.stage.recipient
        if self.stage.beside and self.chance.random() < 0.3:
            return begin_openings(context, recipient, [box.text, self.stage.beside.text])
        with suppress(Problem):
            return begin_opening(context, recipient, box.text)
        return None

    def _send(self, box: RequestedEnvelope) -> None:
        self.story.sent += 1
        if self.story.closed & {box.grant, EVERYTHING}:
            self.story.late.append(str(box.grant))

    def _die(self, opening: Opening) -> None:
        """As when the process is killed: its connection breaks, and nothing more is said by it."""
        self.story.died += 1
        assert opening.connection is not None
        opening.connection.invalidate()
        opening.held.close()


def _check_ledger(context: Context, person: Person, story: Story) -> None:
    """Each opening has its intent; and its outcome, unless it died."""
    with context.database.reading() as connection:
        rows = ledger.about(connection, person.subject, None, 60)
    kinds: dict[str, list[str]] = {}
    for row in reversed(rows):
        kinds.setdefault(row.detail.get("opening", ""), []).append(row.kind)
    for name, ended in story.openings.items():
        expected = ["opening.intended", "opening.delivered"] if ended else ["opening.intended"]
        assert kinds.get(str(name)) == expected, (kinds.get(str(name)), expected)
