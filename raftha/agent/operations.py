"""Takes an operator's request into the store, and tells how it goes on.

The steps are committed by whoever does them; when each one happened is told by this node's own
clock, from the moment it saw the step, because the clocks of two machines are never compared.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from random import Random

from raftha.agent.lifesigns import LifeSign
from raftha.clock import Clock
from raftha.errors import CompareFailed, OutcomeUnknown, StoreUnavailable
from raftha.ha.operations import open_request
from raftha.ha.pausing import is_another_machine
from raftha.ha.refusals import in_the_way, refusal
from raftha.ha.situation import Situation
from raftha.instants import Instant, Seconds, longest
from raftha.logs import event
from raftha.model.cluster import Member
from raftha.model.ids import MemberName, Revision
from raftha.model.operation import (
    Operation,
    OperationState,
    OperationStep,
    OperatorRequest,
    RequestKind,
)
from raftha.model.report import OperationReport, OperationRequest, StepTaken
from raftha.model.store import Transact

LOG = logging.getLogger(__name__)


class Operations:
    """`situation` gives this node's last view with fresh answers of the members; `execute` commits
    a command and raises the store's errors; `look` tries whether anything of a member answers."""

    def __init__(
        self,
        *,
        clock: Clock,
        random: Random,
        situation: Callable[[], Situation],
        execute: Callable[[Transact], None],
        operation: Callable[[], Operation | None],
        look: Callable[[Member], LifeSign],
    ) -> None:
        self._clock = clock
        self._random = random
        self._situation = situation
        self._execute = execute
        self._operation = operation
        self._look = look
        self._seen: dict[tuple[str, OperationStep], Instant] = {}

    def operate(self, asked: OperationRequest) -> OperationReport:
        """Commit the request, or say why not."""
        s = self._situation()
        leader = s.cluster.leader
        request = OperatorRequest(
            id=f"{self._random.getrandbits(48):012x}",
            kind=asked.kind,
            leader=asked.leader or (leader.name if leader else None),
            candidate=asked.candidate,
            revision=Revision(0),
            fenced=asked.fenced,
            may_lose=asked.may_lose,
        )
        reason = refusal(s, request) or self._life(s, request) or in_the_way(s)
        if reason is not None:
            return _ended(request, OperationState.REFUSED, reason)
        if asked.dry_run:
            words = f"the {request.kind} would begin now; nothing was changed"
            return _ended(request, OperationState.DONE, words)
        return self._commit(s, request)

    def _life(self, s: Situation, request: OperatorRequest) -> str | None:
        """Why a member that the operator says is off does not seem to be."""
        member = None if request.fenced is None else s.cluster.members.get(request.fenced)
        if member is None or is_another_machine(s, member.name):
            return None
        sign = self._look(member)
        if not sign.is_alive:
            return None
        return f"{sign}; stop what runs there, or let its agent settle it. Nothing was changed"

    def _commit(self, s: Situation, request: OperatorRequest) -> OperationReport:
        command = open_request(s.keys, s.cluster, request, s.me)
        try:
            self._execute(command)
        except CompareFailed:
            return _ended(request, OperationState.REFUSED, "another request came first")
        except StoreUnavailable as error:
            return _ended(request, OperationState.REFUSED, f"the store refused: {error}")
        except OutcomeUnknown as error:
            return _ended(request, OperationState.UNKNOWN, f"the answer was lost: {error}")
        event(LOG, logging.INFO, "operator request", kind=request.kind, id=request.id)
        if request.may_lose:
            what = "an operator accepts the loss of commits that a member may lack"
            event(LOG, logging.WARNING, what, name=request.candidate, id=request.id)
        if request.fenced is not None:
            event(
                LOG,
                logging.WARNING,
                "an operator says that a member is off, whose primary had no deadline",
                name=request.fenced,
                id=request.id,
            )
        return _ended(request, OperationState.RUNNING, f"{request.kind} requested")

    def notice(self) -> None:
        """Note when steps were seen first. To be called at each change of the store."""
        operation = self._operation()
        if operation is None:
            return
        now = self._clock.now()
        known = {key: at for key, at in self._seen.items() if key[0] == operation.id}
        for step in operation.steps:
            known.setdefault((operation.id, step.step), now)
        self._seen = known

    def report(self) -> OperationReport | None:
        """The latest request and its steps."""
        self.notice()
        operation = self._operation()
        if operation is None:
            return None
        seen = {step: at for (_, step), at in self._seen.items()}
        begun = seen.get(OperationStep.REQUESTED)
        taken = tuple(
            StepTaken(step=step.step, by=step.by, seconds=_between(begun, seen.get(step.step)))
            for step in operation.steps
        )
        draining, promoted = seen.get(OperationStep.DRAINING), seen.get(OperationStep.PROMOTED)
        gap = None
        if draining is not None and promoted is not None:
            gap = longest(draining, promoted)
        return OperationReport(
            id=operation.id,
            kind=operation.kind,
            state=operation.state,
            message=operation.message,
            steps=taken,
            write_gap_seconds=gap,
        )


def _between(begun: Instant | None, at: Instant | None) -> Seconds:
    return Seconds(0.0) if begun is None or at is None else longest(begun, at)


def _ended(request: OperatorRequest, state: OperationState, message: str) -> OperationReport:
    return OperationReport(id=request.id, kind=request.kind, state=state, message=message)


def witness_refusal(kind: RequestKind, name: MemberName) -> OperationReport:
    """A witness does not know enough to judge a request."""
    message = f"{name} is a witness: ask a member with PostgreSQL"
    return OperationReport(id="", kind=kind, state=OperationState.REFUSED, message=message)
