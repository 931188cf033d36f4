"""The frame of every act that changes what may leave: exclusive lock, new epoch, events, ledger, one commit."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from services.common.errors import Problem, not_found, unavailable
from services.common.messaging.cloudevents import Event
from services.consent import events
from services.consent.context import Context
from services.consent.domain import Request, decide, is_readable
from services.consent.ledger import entries as ledger
from services.consent.ledger.entries import Entry
from services.consent.locks import Busy
from services.consent.speaking import Act, Speech, may_speak
from services.consent.store import notices, permissions, subjects
from services.consent.store.snapshots import read_snapshots

STOP_USE, USE_AGAIN = "stop_use", "use_again"


@dataclass(slots=True)
class Change:
    """One act under way. Whatever is added to `entries`, `events` and `notices` is recorded when the block ends."""

    connection: Connection
    context: Context
    subject: UUID
    row: subjects.SubjectRow
    epoch: int
    now: datetime
    entries: list[Entry] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)

    def record(self, kind: str, agency: str | None = None, **detail: Any) -> None:
        """Add an entry to her ledger."""
        self.entries.append(Entry(kind, self.subject, agency, {**detail, "epoch": self.epoch}))

    def end(self, grants: Sequence[Any], reason: str, **detail: Any) -> None:
        """End grants: no more openings, keys destroyed, referrals withdrawn, recipients told what to do."""
        if not grants:
            return
        permissions.end_grants(self.connection, [grant.id for grant in grants], reason, self.epoch, self.now)
        for grant in grants:
            notice = self.tell(grant, self.context.duty_rules.when_ended[reason], grant.categories)
            self.record("grant.ended", grant.agency, grant=str(grant.id), reason=reason, notice=notice, **detail)
            self.record("key.destroyed", grant.agency, grant=str(grant.id))
            clock = self.context.clock
            self.events.append(events.grant_ended(clock, grant.id, grant.agency, reason, self.notices[-1]["epoch"]))

    def tell(self, grant: Any, action: str, categories: Collection[str]) -> str:
        """Make the notice to the agency of a grant and return its id. It does not say why this changed.

        It names the grant's own epoch: with hers, an agency could count her acts that do not concern it. Its id holds no
        time, by which notices to two agencies could be joined after she was erased.
        """
        name, duty_rules = self.context.clock.new_random_id(), self.context.duty_rules
        row = {column: getattr(grant, column) for column in ("subject_id", "agency", "purpose")}
        row |= {
            "id": name,
            "grant_id": grant.id,
            "epoch": permissions.raise_agency_epoch(self.connection, grant.id),
            "action": action,
            "categories": sorted(categories),
        }
        row |= {"ppid": subjects.links_of(self.connection, self.subject).get(grant.agency), "made_at": self.now}
        row |= {"acknowledge_by": self.now + duty_rules.acknowledge_time, "push_after": self.now, "push_tries": 0}
        self.events.append(events.notice_made(self.context.clock, name, grant.agency))
        at_once = action in {STOP_USE, USE_AGAIN}
        self.notices.append({**row, "act_by": self.now if at_once else self.now + duty_rules.act_time})
        return str(name)

    @contextmanager
    def telling_what_flows(self) -> Iterator[list[str]]:
        """Tell the agencies of live grants what the block stops or permits again; yield a list for the notices' ids."""
        made: list[str] = []
        before, followed = self._flows(), self._followers()
        yield made
        after, follow = self._flows(), self._followers()
        for agency, purpose in sorted(followed ^ follow):
            self.tell_referral(agency, purpose, shut_out=(agency, purpose) in followed)
        for grant in permissions.live_grants(self.connection, self.subject):
            for action, changed in (
                (STOP_USE, before[grant.id] - after[grant.id]),
                (USE_AGAIN, after[grant.id] - before[grant.id]),
            ):
                if changed:
                    made.append(self.tell(grant, action, changed))

    def tell_referral(self, agency: str, purpose: str | None = None, *, shut_out: bool) -> None:
        """Let referrals under her grants, all or for one purpose, stand still for an agency, or let it follow them again.

        Under a grant that ended by its date, what was accepted goes on; under one that she took back, nothing moves any more.
        """
        clock = self.context.clock
        for grant in permissions.grants_of(self.connection, self.subject):
            if grant.ended_at is not None and grant.end_reason != "expired":
                continue
            if purpose not in {None, grant.purpose}:
                continue
            self.events.append(events.sender_shut_out(clock, grant.id, agency, shut_out=shut_out))

    def _followers(self) -> set[tuple[str, str]]:
        """Return which agencies may follow referrals about her, for which purposes of her grants.

        They are those that know her, and those she allows something. A pause, and lateness with notices, stop what is shared;
        they stop no referral that is under way. A restriction stops one if it names an agency or a sector.
        """
        every = permissions.grants_of(self.connection, self.subject)
        agencies = {grant.agency for grant in every if grant.ended_at is None}
        agencies |= subjects.links_of(self.connection, self.subject).keys()
        snapshots = read_snapshots(self.connection, self.context.roster, [self.subject], agencies)

        def may_follow(agency: str, purpose: str) -> bool:
            snapshot, policy = snapshots.of(self.subject, agency), self.context.policy
            named = [
                rule for rule in snapshot.restrictions if rule.agency or rule.sector or not is_readable(rule, policy)
            ]
            recipient = snapshot.recipient and replace(snapshot.recipient, standing="active")
            calm = replace(snapshot, state="active", recipient=recipient, restrictions=named)
            return may_speak(calm, agency, Speech(Act.FOLLOW_REFERRAL, purpose), policy, linked=True) is not None

        every_purpose = {grant.purpose for grant in every}
        return {(agency, purpose) for agency in agencies for purpose in every_purpose if may_follow(agency, purpose)}

    def _flows(self) -> dict[UUID, frozenset[str]]:
        """Return the categories that each live grant permits, whatever the present standing of its agency."""
        live = permissions.live_grants(self.connection, self.subject)
        agencies = {grant.agency for grant in live}
        snapshots = read_snapshots(self.connection, self.context.roster, [self.subject], agencies)

        def flow(grant: Any) -> frozenset[str]:
            snapshot = snapshots.of(self.subject, grant.agency)
            recipient = snapshot.recipient and replace(snapshot.recipient, standing="active")
            request = Request(grant.agency, grant.purpose, frozenset(grant.categories), grant.id)
            return decide(replace(snapshot, recipient=recipient), request, self.now, self.context.policy).permitted

        return {grant.id: flow(grant) for grant in live}


@contextmanager
def changing(context: Context, subject: UUID) -> Iterator[Change]:
    """Lock a survivor exclusively and let the block change her permissions; nothing is kept if the block raises.

    When this returns, every opening that was decided before has ended, and every later one sees the change. Raises 404 for an
    erased survivor, 503 if the lock is not available in time.
    """
    try:
        with context.locks.changing(subject) as connection:
            row = subjects.get_subject(connection, subject)
            if row is None or row.state == "erased":
                raise not_found()
            epoch = subjects.raise_epoch(connection, subject)
            change = Change(connection, context, subject, row, epoch, context.clock.now())
            yield change
            context.outbox.add(connection, change.events, change.now)
            notices.add_notices(connection, change.notices)
            if change.entries:
                ledger.append(connection, change.entries, change.now)
    except Busy as error:
        raise _busy() from error


def _busy() -> Problem:
    return unavailable("Something of yours is just being read. Please try again in a moment.", retry_after=1)
