"""Writes `docs/referrals.md` from the table of moves; `--check` compares instead and fails if the page is stale."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

import schemas
from services.referral.domain import FINAL, MOVES, REMINDERS, RESTATE, Party, State

PAGE = Path(__file__).resolve().parent.parent / "docs" / "referrals.md"
HEAD = """# The life of a referral

`make referrals` writes this page from the table of moves in [`services/referral/domain.py`](../services/referral/domain.py).

"""
RULES = f"""
- A hold (`referral.held.v1`) ends with `referral.resumed.v1` in the state before it, or with an answer that was possible
  then.
- A waiting list may be restated, with another wait or the same. A start by mistake is taken back with
  `referral.accepted.v1`, within a day.
- An answer that says what holds already changes nothing and is no error. With another reason or outcome it is refused.
- When her permission ends by its date, envelopes close; what was accepted or started goes on without content. When she
  takes it back, or deletes everything, the referral is withdrawn.

## Promises

| clock | runs in | from | promised within |
|---|---|---|---|
| `answer` | `requested` | the time at which intake took it | its urgency |
| `start` | `accepted` | the first yes | `x-answer-hours` of the need |
| `restate` | `waitlisted` | the last word about the list | {RESTATE.days} days |
| `hold` | `on_hold` | the beginning of the hold | {RESTATE.days} days |

Hours are real hours, also across a change of clocks. When the promised time has passed once, and again when it has passed
{" and ".join(str(times) for times in REMINDERS[1:])} times, both sides find
`referral.overdue.v1` in their feed. Nothing closes by itself.
"""


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; the status is 1 if the page is stale.")
def main(check: bool) -> None:
    """Write the page on the life of a referral anew."""
    text = page()
    stale = not PAGE.exists() or PAGE.read_text("utf-8") != text
    if check:
        if stale:
            click.echo("docs/referrals.md is not what the table of moves says; run: make referrals", err=True)
        sys.exit(stale)
    PAGE.write_text(text, "utf-8")
    click.echo("docs/referrals.md is written" if stale else "docs/referrals.md is up to date")


def page() -> str:
    """Return the text of the page."""
    return HEAD + "\n".join([*_diagram(), "", *_states(), "", *_moves()]) + "\n" + RULES


def _diagram() -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "  [*] --> requested"
    for state, following in MOVES.items():
        for to, party in following.items():
            if party is not Party.HUB:
                yield f"  {state} --> {to}"
    for state in State:
        if state in FINAL:
            yield f"  {state} --> [*]"
    yield "```"


def _states() -> Iterator[str]:
    yield "| state | in words | FHIR Task | ends it |"
    yield "|---|---|---|---|"
    codes = {code.code: code for code in schemas.codes("referral_states")}
    for state in State:
        code = codes[state]
        yield f"| `{state}` | {code.en} | `{code.extra['x-fhir-task']}` | {'yes' if state in FINAL else ''} |"


def _moves() -> Iterator[str]:
    yield "| from | the agency that was asked may | the agency that asked may | the hub may |"
    yield "|---|---|---|---|"
    for state, following in MOVES.items():
        by = [
            ", ".join(f"`{to}`" for to, party in following.items() if party is side)
            for side in (Party.RECIPIENT, Party.SENDER, Party.HUB)
        ]
        yield f"| `{state}` | {by[0]} | {by[1]} | {by[2]} |"


if __name__ == "__main__":
    main()
