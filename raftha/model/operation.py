"""Operator requests: what was asked, and how far the latest one came."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from raftha.model.ids import MemberName, Revision


class RequestKind(StrEnum):
    SWITCHOVER = "switchover"
    FAILOVER = "failover"


class OperationState(StrEnum):
    """How far an operator's request has come; all but RUNNING are final."""

    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class OperationStep(StrEnum):
    """The steps of a hand-over, in their order."""

    REQUESTED = "requested"
    DRAINING = "draining"
    STOPPED = "stopped"
    HANDED_OVER = "handed over"
    PROMOTED = "promoted"
    FOLLOWERS_ATTACHED = "followers attached"


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of an operator's word that takes effect by being written."""

    state: OperationState
    message: str


class OperatorRequest(Struct, frozen=True, kw_only=True):
    """The `failover` key: a planned hand-over, or the operator's choice of a new leader. `fenced`
    is the member that the operator said is off, so that its `disarmed` entry went; `may_lose` lets
    the candidate lead though it may lack acknowledged commits."""

    id: str
    kind: RequestKind
    leader: MemberName | None
    candidate: MemberName | None
    revision: Revision
    fenced: MemberName | None = None
    may_lose: bool = False


class Step(Struct, frozen=True, kw_only=True):
    """A step that a member reported. When it happened is each reader's own clock's affair."""

    step: OperationStep
    by: MemberName


class Operation(Struct, frozen=True, kw_only=True):
    """The `operation` key: the latest request, kept after its end so that it can be asked for."""

    id: str
    kind: RequestKind
    leader: MemberName | None
    candidate: MemberName | None
    state: OperationState
    message: str
    steps: tuple[Step, ...] = ()
    revision: Revision = Revision(0)

    def has(self, step: OperationStep) -> bool:
        """The step was reported."""
        return any(taken.step == step for taken in self.steps)
