"""How an operator's request is written down as it goes: `operation` and `failover`. PURE."""

from __future__ import annotations

from msgspec.structs import replace

from raftha.ha.actions import Action, Submit
from raftha.ha.keys import Keys, encode_operation, encode_request
from raftha.ha.situation import Situation
from raftha.model.cluster import Cluster
from raftha.model.ids import MemberName
from raftha.model.operation import (
    Operation,
    OperationState,
    OperationStep,
    OperatorRequest,
    Step,
)
from raftha.model.postgres import ServerStatus
from raftha.model.store import Guard, KeyAbsent, KeyAt, Put, Remove, Transact, Write
from raftha.model.view import HeldLease

ATTACH_TTLS = 2
"""How many ttls the followers get to attach before a hand-over is called done without them."""


def open_request(
    keys: Keys, cluster: Cluster, request: OperatorRequest, by: MemberName
) -> Transact:
    """Put a request: refused by its guards if another one is under way, or if somebody leads
    meanwhile in whose absence it is to take the place of one that came to nothing. With it goes the
    entry of the member that the operator said is off, unless that has just taken the leader key
    again. A loss is accepted only while nobody leads: it was no word about a leader who came
    meanwhile."""
    operation = Operation(
        id=request.id,
        kind=request.kind,
        leader=request.leader,
        candidate=request.candidate,
        state=OperationState.RUNNING,
        message=_requested(request),
        steps=(Step(step=OperationStep.REQUESTED, by=by),),
    )
    old = cluster.request
    here: Guard = KeyAbsent(keys.failover) if old is None else KeyAt(keys.failover, old.revision)
    guards: tuple[Guard, ...] = (
        here,
        _operation_guard(keys, cluster),
        KeyAbsent(keys.halt),
    )
    writes: tuple[Write, ...] = (
        Put(keys.failover, encode_request(request)),
        Put(keys.operation, encode_operation(operation)),
    )
    entry = None if request.fenced is None else cluster.disarmed.get(request.fenced)
    if entry is not None:
        key = keys.disarmed_of(entry.name)
        guards = (*guards, KeyAt(key, entry.revision))
        writes = (*writes, Remove(key))
    if entry is not None or request.may_lose or old is not None:
        guards = (*guards, KeyAbsent(keys.leader))
    return Transact(guards, writes)


def _requested(request: OperatorRequest) -> str:
    fenced = "" if request.fenced is None else f"; an operator said that {request.fenced} is off"
    loss = "; an operator accepts the loss of commits" if request.may_lose else ""
    return f"{request.kind} requested{fenced}{loss}"


def _operation_guard(keys: Keys, cluster: Cluster) -> Guard:
    known = cluster.operation
    return KeyAbsent(keys.operation) if known is None else KeyAt(keys.operation, known.revision)


def current(s: Situation) -> Operation | None:
    """The operation that belongs to the request under way."""
    operation, request = s.cluster.operation, s.request
    if operation is None or request is None or operation.id != request.id:
        return None
    return operation


def holds_all(s: Situation) -> bool:
    """The leader before has stopped in good order, and seen that this node, for which it was asked
    to, holds all that it had written."""
    operation = current(s)
    is_stopped = operation is not None and operation.has(OperationStep.STOPPED)
    return is_stopped and operation is not None and operation.candidate == s.me


def note(
    s: Situation, lease: HeldLease, step: OperationStep, message: str, *more: Write
) -> tuple[Action, ...]:
    """Write a step of the request under way, once; `more` goes with it in the same command."""
    operation = current(s)
    if operation is None or operation.has(step) or "operation" in s.view.pending:
        return ()
    steps = (*operation.steps, Step(step=step, by=s.me))
    changed = replace(operation, steps=steps, message=message)
    writes = (Put(s.keys.operation, encode_operation(changed)), *more)
    guards = (s.epoch_guard(lease), KeyAt(s.keys.operation, operation.revision), *_sync(s, more))
    return (Submit("operation", Transact(guards, writes)),)


def _sync(s: Situation, writes: tuple[Write, ...]) -> tuple[Guard, ...]:
    """The guard that a write to `sync` needs."""
    sync = s.cluster.sync
    if sync is None or not any(isinstance(w, Put) and w.key == s.keys.sync for w in writes):
        return ()
    return (KeyAt(s.keys.sync, sync.revision),)


def refuse(s: Situation, lease: HeldLease, reason: str) -> tuple[Action, ...]:
    """End the request under way without doing it."""
    request, operation = s.request, current(s)
    if request is None or "operation" in s.view.pending:
        return ()
    guards: tuple[Guard, ...] = (
        s.epoch_guard(lease),
        KeyAt(s.keys.failover, request.revision),
    )
    writes: tuple[Write, ...] = (Remove(s.keys.failover),)
    if operation is not None:
        ended = replace(operation, state=OperationState.REFUSED, message=reason)
        guards = (*guards, KeyAt(s.keys.operation, operation.revision))
        writes = (*writes, Put(s.keys.operation, encode_operation(ended)))
    return (Submit("operation", Transact(guards, writes)),)


def closing_steps(s: Situation, lease: HeldLease, server: ServerStatus) -> tuple[Action, ...]:
    """What the new leader writes: promoted, then followers attached, which ends the operation."""
    if "operation" in s.view.pending:
        return ()
    if s.request is not None and s.request.leader != s.me:
        return _promoted(s, lease)
    operation = s.cluster.operation
    if operation is None or operation.state is not OperationState.RUNNING or s.request:
        return ()
    missing = _not_attached(s, server)
    waited = s.since(s.memory.promoted_at)
    # Who is not in touch does not come: the machine that an operator said is off, for one.
    awaited = [name for name in missing if name not in s.memory.away]
    if awaited and waited < ATTACH_TTLS * s.config.ttl:
        return ()
    message = f"{s.me} is the leader"
    if missing:
        message += f"; not attached yet: {', '.join(missing)}"
    steps = operation.steps
    if not missing:
        steps = (*steps, Step(step=OperationStep.FOLLOWERS_ATTACHED, by=s.me))
    ended = replace(operation, state=OperationState.DONE, message=message, steps=steps)
    put = Put(s.keys.operation, encode_operation(ended))
    guards = (s.epoch_guard(lease), KeyAt(s.keys.operation, operation.revision))
    return (Submit("operation", Transact(guards, (put,))),)


def _promoted(s: Situation, lease: HeldLease) -> tuple[Action, ...]:
    request, operation = s.request, current(s)
    if request is None:
        return ()
    if request.candidate not in (None, s.me):
        return refuse(s, lease, f"{s.me} became the leader instead of {request.candidate}")
    guards: tuple[Guard, ...] = (s.epoch_guard(lease), KeyAt(s.keys.failover, request.revision))
    writes: tuple[Write, ...] = (Remove(s.keys.failover),)
    if operation is not None:
        steps = [*operation.steps]
        for step in (OperationStep.HANDED_OVER, OperationStep.PROMOTED):
            if not operation.has(step):
                steps.append(Step(step=step, by=s.me))
        changed = replace(operation, steps=tuple(steps), message=f"{s.me} was promoted")
        guards = (*guards, KeyAt(s.keys.operation, operation.revision))
        writes = (*writes, Put(s.keys.operation, encode_operation(changed)))
    return (Submit("operation", Transact(guards, writes)),)


def _not_attached(s: Situation, server: ServerStatus) -> list[MemberName]:
    here = {row.application_name.lower() for row in server.attached if row.state == "streaming"}
    awaited = [m.name for m in s.other_members if not m.tags.nostream]
    return [name for name in awaited if name.lower() not in here]
