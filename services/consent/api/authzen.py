"""The OpenID AuthZEN 1.0 form of `decide`, under `/consent/access/v1`: for the calling agency's own access only."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.common.auth.access_tokens import Caller, TokenEnd
from services.common.auth.limited_acts import limited
from services.common.errors import Fault, invalid
from services.consent.api.dependencies import ContextDep, Presented
from services.consent.consistency_tokens import Seen
from services.consent.context import Context
from services.consent.handlers.disclosures.evaluations import Evaluation, Question, evaluate

routes = APIRouter(tags=["agencies"])
BATCH = 100
PATH = "/consent/access/v1"
AGENCY, SURVIVOR = "agency", "survivor"
# What the standard asks for, in place of 422.
BAD_REQUEST: dict[int | str, dict[str, Any]] = {400: {"$ref": "#/components/responses/Problem"}}


class Open(BaseModel):
    """A part of a question; the standard lets callers say more than is asked, which is passed over."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class Subject(Open):
    """The agency that would receive: yours."""

    type: str = Field(max_length=64, description="`agency`.")
    id: str = Field(max_length=64, description="Your client id. For any other the answer is no.")


class Action(Open):
    """The purpose."""

    name: str = Field(max_length=64, description="A purpose.")


class Properties(Open):
    """The data asked for."""

    categories: list[str] = Field(min_length=1, max_length=16, description="Data categories.")


class Resource(Open):
    """The survivor it is about."""

    type: str = Field(max_length=64, description="`survivor`.")
    id: str = Field(max_length=64, description="Your ppid for her.")
    properties: Properties


class EvaluationBody(Open):
    """One question."""

    subject: Subject
    action: Action
    resource: Resource


class Item(Open):
    """One question of several; a missing member is taken from the outer question."""

    subject: Subject | None = None
    action: Action | None = None
    resource: Resource | None = None


class Options(Open):
    """When to stop evaluating."""

    evaluations_semantic: Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"] = "execute_all"


class EvaluationsBody(Item):
    """Several questions; with none listed, one."""

    evaluations: list[Item] = Field([], max_length=BATCH)
    options: Options = Options()


class DecisionContext(BaseModel):
    """The permitted categories, the policy, and until when; `consent_epoch` only where something is permitted."""

    permitted: list[str]
    policy: str
    valid_until: str | None
    consent_epoch: str | None = None


class Decided(BaseModel):
    """`decision`: whether all that was asked for is permitted. An unknown ppid is denied like any other."""

    decision: bool
    context: DecisionContext


class AllDecided(BaseModel):
    """One answer for each question, in order."""

    evaluations: list[Decided]


@dataclass(frozen=True, slots=True)
class Asker:
    """The caller: its agency, the end of its token, and the epochs that it has seen."""

    context: Context
    agency: str
    until: datetime
    seen: Seen

    def ask(self, bodies: Sequence[EvaluationBody]) -> list[Decided]:
        """Answer questions, in order."""
        questions = [self._question(body) for body in bodies]
        return [_told(answer) for answer in evaluate(self.context, self.agency, questions, self.until, self.seen)]

    def _question(self, body: EvaluationBody) -> Question:
        # A question about another agency's access is answered like one about an unknown person.
        own = (body.subject.type, body.subject.id, body.resource.type) == (AGENCY, self.agency, SURVIVOR)
        return Question(
            body.resource.id if own else "", body.action.name, frozenset(body.resource.properties.categories)
        )


async def _asking(
    context: ContextDep, agency: Caller, until: TokenEnd, seen: Presented, request: Request, response: Response
) -> Asker:
    name = request.headers.get("x-request-id", "")
    if re.fullmatch(r"[A-Za-z0-9._-]{1,128}", name):
        response.headers["x-request-id"] = name
    return Asker(context, agency, until, seen)


Asking = Annotated[Asker, Depends(_asking)]


def _told(answer: Evaluation) -> Decided:
    decision = answer.decision
    context = DecisionContext(
        permitted=sorted(decision.permitted),
        policy=decision.policy_version,
        valid_until=decision.valid_until.isoformat() if decision.valid_until else None,
        consent_epoch=answer.consent_epoch,
    )
    return Decided(decision=answer.whole, context=context)


@routes.get("/consent/.well-known/authzen-configuration")
@routes.get("/.well-known/authzen-configuration/consent", include_in_schema=False)
def discover(request: Request) -> dict[str, str]:
    """Return the endpoints of the decision point (AuthZEN 1.0, section 9)."""
    base = f"{request.app.state.public_url}/consent"
    return {
        "policy_decision_point": base,
        "access_evaluation_endpoint": f"{base}/access/v1/evaluation",
        "access_evaluations_endpoint": f"{base}/access/v1/evaluations",
    }


@routes.post(f"{PATH}/evaluation", responses=BAD_REQUEST, dependencies=[limited("decisions")])
def evaluation(caller: Asking, body: EvaluationBody) -> Decided:
    """Decide whether your agency may have this about her now. Do not keep the answer: ask again, or open."""
    [answer] = caller.ask([body])
    return answer


@routes.post(f"{PATH}/evaluations", responses=BAD_REQUEST, dependencies=[limited("decisions")])
def evaluations(caller: Asking, body: EvaluationsBody) -> AllDecided | Decided:
    """Decide up to 100 questions, all at one instant."""
    if not body.evaluations:
        return caller.ask([_whole(body, body, "")])[0]
    questions = [_whole(item, body, f"/evaluations/{place}") for place, item in enumerate(body.evaluations)]
    return AllDecided(evaluations=_as_far_as(caller.ask(questions), body.options.evaluations_semantic))


def _whole(item: Item, above: Item, place: str) -> EvaluationBody:
    """Fill a question's missing parts from the outer one; raise 400 for what is in neither."""
    parts = {name: getattr(item, name) or getattr(above, name) for name in ("subject", "action", "resource")}
    missing = [Fault(f"{place}/{name}", "Missing.", "here or above") for name, part in parts.items() if part is None]
    if missing:
        raise invalid(*missing)
    return EvaluationBody(**parts)


def _as_far_as(answers: list[Decided], semantic: str) -> list[Decided]:
    """Return the answers up to and including the first that ends the evaluation."""
    last = {"deny_on_first_deny": False, "permit_on_first_permit": True}.get(semantic)
    for place, answer in enumerate(answers):
        if answer.decision is last:
            return answers[: place + 1]
    return answers
