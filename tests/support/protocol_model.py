"""A small explicit-state model of the opening protocol, and an explorer that visits every order of its steps.

The survivor gives a grant, an event is sealed under it, two openers (the second is a retry) try to send its bytes, she
revokes the grant, is told so, and may give a new one; an opener may die between any two steps. A protocol is the list of
steps that an opener takes. Two things must never happen: a byte of an event leaves after she was told that its grant had
ended; or no step is left, bytes have left, and no record of them exists.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

OPENERS = 2
OLD, NEW = "old grant", "new grant"


@dataclass(frozen=True, slots=True)
class Protocol:
    """The steps of an opener, whether a change takes a lock, whether she may grant again, and whether openers may crash."""

    steps: tuple[str, ...]
    locked: bool = True
    grants_again: bool = False
    crashes: bool = False


@dataclass(frozen=True, slots=True)
class Opener:
    """One opener: its next step, its decision, whether it holds the lock, and what it has done."""

    at: int = 0
    may: bool = False
    holds: bool = False
    recorded: bool = False
    sent: bool = False
    dead: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """The state of the whole model."""

    openers: tuple[Opener, ...] = (Opener(),) * OPENERS
    live: frozenset[str] = frozenset({OLD})
    sealed: bool = False
    hers: int = 0
    exclusive: bool = False
    told: bool = False
    late: bool = False
    """Whether a byte has left after she was told."""


Moves = Iterator[tuple[str, State]]
HER_STEPS = ("she asks to take it back", "the grant is ended", "she is told", "she grants again")


def moves(state: State, protocol: Protocol) -> Moves:
    """Yield each possible next step: its name and the state after it."""
    if not state.sealed and OLD in state.live:
        yield "an event is sealed under the grant", replace(state, sealed=True)
    yield from _her_moves(state, protocol)
    for number, opener in enumerate(state.openers):
        if opener.dead or opener.at == len(protocol.steps) or not state.sealed:
            continue
        step = protocol.steps[opener.at]
        if (after := STEPS[step](state, opener)) is not None:
            changed, then = after
            # An opener that may not send skips to the end, where it releases its lock.
            gone_on = replace(then, at=_next(protocol, then))
            yield f"opener {number + 1}: {step}", _with(changed, number, gone_on)
        if protocol.crashes:
            died = replace(opener, dead=True, holds=False)
            yield f"opener {number + 1}: dies", _with(state, number, died)


def _next(protocol: Protocol, opener: Opener) -> int:
    passed = protocol.steps[: opener.at + 1]
    if opener.may or not any(step.startswith("decide") for step in passed):
        return opener.at + 1
    return protocol.steps.index("unlock") if opener.holds else len(protocol.steps)


def _her_moves(state: State, protocol: Protocol) -> Moves:
    if state.hers == len(HER_STEPS) - (not protocol.grants_again):
        return
    name, then = HER_STEPS[state.hers], replace(state, hers=state.hers + 1)
    if state.hers == 0 and protocol.locked:
        if not any(opener.holds for opener in state.openers):
            yield name, replace(then, exclusive=True)
    elif state.hers == 0:
        yield name, then
    elif state.hers == 1:
        yield name, replace(then, live=state.live - {OLD}, exclusive=False)
    elif state.hers == 2:
        yield name, replace(then, told=True)
    else:
        yield name, replace(then, live=state.live | {NEW})


def _with(state: State, number: int, opener: Opener) -> State:
    openers = (*state.openers[:number], opener, *state.openers[number + 1 :])
    return replace(state, openers=openers)


After = tuple[State, Opener] | None


def _lock(state: State, opener: Opener) -> After:
    return None if state.exclusive else (state, replace(opener, holds=True))


def _unlock(state: State, opener: Opener) -> After:
    return state, replace(opener, holds=False)


def _decide_for(grants: frozenset[str]) -> Callable[[State, Opener], After]:
    def decide(state: State, opener: Opener) -> After:
        return state, replace(opener, may=bool(state.live & grants))

    return decide


def _take_the_kept_decision(state: State, opener: Opener) -> After:
    return state, replace(opener, may=True)  # decided at sealing, under the grant that was live then


def _change_nothing(state: State, opener: Opener) -> After:
    return state, opener


def _commit(state: State, opener: Opener) -> After:
    return state, replace(opener, recorded=True)


def _send(state: State, opener: Opener) -> After:
    return replace(state, late=state.late or state.told), replace(opener, sent=True)


STEPS: Mapping[str, Callable[[State, Opener], After]] = {
    "lock": _lock,
    "unlock": _unlock,
    "take the decision of the sealing": _take_the_kept_decision,
    "decide for that grant": _decide_for(frozenset({OLD})),
    "decide for any grant": _decide_for(frozenset({OLD, NEW})),
    "write the record": _change_nothing,
    "commit the record": _commit,
    "commit the intent": _commit,
    "send": _send,
    "send the rest": _send,
    "commit the outcome": _change_nothing,
}


@dataclass(frozen=True, slots=True)
class Explored:
    """The number of states, the shortest counter-example (or None), and the states without a next step."""

    states: int
    counter_example: list[str] | None
    rests: list[State]


def explore(protocol: Protocol) -> Explored:
    """Visit every reachable state, nearest first; stop at the first violation."""
    start = State()
    ways: dict[State, tuple[str, State] | None] = {start: None}
    queue, rests = deque([start]), []
    while queue:
        state = queue.popleft()
        following = list(moves(state, protocol))
        if not following:
            rests.append(state)
        if state.late or (not following and _unrecorded(state)):
            return Explored(len(ways), _way(state, ways), rests)
        for name, after in following:
            if after not in ways:
                ways[after] = (name, state)
                queue.append(after)
    return Explored(len(ways), None, rests)


def _unrecorded(state: State) -> bool:
    return any(opener.sent and not opener.recorded for opener in state.openers)


def _way(state: State, ways: Mapping[State, tuple[str, State] | None]) -> list[str]:
    steps: list[str] = []
    while (came := ways[state]) is not None:
        steps.append(came[0])
        state = came[1]
    return steps[::-1]
