"""Giving the leader key away in good order: switchover, failover, a planned stop. PURE.

The primary writes a checkpoint while it still serves, then stops. The shutdown record is the last
it will ever write in this epoch: who holds it holds everything. Only then the key is released.
"""

from __future__ import annotations

from msgspec.structs import replace

from raftha.ha import heirs
from raftha.ha.actions import (
    AskPeers,
    CancelJob,
    Checkpoint,
    EndAgent,
    ReleaseLeader,
    Stop,
    StopMode,
)
from raftha.ha.annals import ending
from raftha.ha.backoff import STOPPED
from raftha.ha.keys import encode_sync
from raftha.ha.operations import note, refuse
from raftha.ha.pausing import INTENT, leaving
from raftha.ha.refusals import refusal
from raftha.ha.rules.server import stop
from raftha.ha.situation import Situation
from raftha.ha.table import Rule, Verdict
from raftha.instants import longest
from raftha.model.ids import Lsn, MemberName
from raftha.model.operation import OperationStep, OperatorRequest
from raftha.model.postgres import ControlState
from raftha.model.settings import SynchronousMode
from raftha.model.store import Put, Write
from raftha.model.view import HeldLease, JobKind

CHECKPOINT_WAIT_S = 60.0
"""A checkpoint that takes longer is not waited for: the stop writes the rest."""

HEIR_WAIT_S = 2.0
"""How long a primary that was stopped looks for a standby that holds its last record."""

ASK_WAIT_S = 5.0
"""How long a request waits for the members' answers; above the longest peer time-out, 2 s."""

STOP_PATIENCE_S = 60.0
"""After so long a fast stop becomes an immediate one, which loses nothing but the clean record,
unless `primary_stop_timeout` says otherwise."""


def _handover(s: Situation) -> Verdict | None:
    lease, request = s.lease, s.request
    if lease is None or request is None or s.view.stopping:
        return None
    started = s.memory.drained == request.id
    # A request that names another leader, or none, is closed by its heir (operations.py).
    if not started and request.leader != s.me:
        return None
    if not started:
        return _begin(s, lease, request)
    if s.running:
        return _drain(s, lease, request)
    return _stopped(s, lease, request)


def _begin(s: Situation, lease: HeldLease, request: OperatorRequest) -> Verdict | None:
    server = s.server
    if server is None or not server.is_primary:
        return None
    names = tuple(member.name for member in s.other_members)
    unasked = [name for name in names if not _was_asked_since(s, name)]
    if unasked and s.since(s.memory.request_since) < ASK_WAIT_S:
        return Verdict(f"{request.kind}: asking the members", (AskPeers(names),))
    reason = refusal(s, request)
    if reason is not None:
        return Verdict(f"{request.kind} refused: {reason}", refuse(s, lease, reason))
    target = request.candidate or "the best standby"
    memory = replace(s.memory, drained=request.id, drain_since=s.now)
    reason = f"{request.kind} to {target}: writing a checkpoint first"
    return Verdict(reason, (Checkpoint(),), memory)


def _was_asked_since(s: Situation, name: MemberName) -> bool:
    """A member answered, or failed to, a question put after the request was seen here."""
    answer, since = s.view.peers.get(name), s.memory.request_since
    return answer is not None and since is not None and longest(since, answer.asked) >= 0


def _drain(s: Situation, lease: HeldLease, request: OperatorRequest) -> Verdict:
    waited = s.since(s.memory.drain_since)
    job = s.view.job
    if job is not None and job.kind is JobKind.CHECKPOINT and waited < CHECKPOINT_WAIT_S:
        return Verdict(f"{request.kind}: the checkpoint has been running for {waited:.1f} s")
    noted = note(s, lease, OperationStep.DRAINING, f"{s.me} is being stopped")
    if s.stop_was_sent(StopMode.FAST):
        return _await_stop(s, f"{request.kind}: PostgreSQL is stopping")
    verdict = stop(s, StopMode.FAST, f"{request.kind}: stopping PostgreSQL")
    return replace(verdict, actions=(*noted, *verdict.actions))


def _await_stop(s: Situation, reason: str) -> Verdict:
    """A fast stop may wait for a standby that is gone; once the shutdown record is written and a
    candidate holds it, or patience has run out, what is left is ended."""
    sent = s.memory.stop
    waited = s.since(sent.at) if sent is not None else 0.0
    control = s.view.directory.control
    if control is not None and control.state is ControlState.SHUT_DOWN and waited > 1.0:
        return stop(s, StopMode.KILL, f"{reason}: the record is written, ending what is left")
    if waited > _patience(s):
        return stop(s, StopMode.IMMEDIATE, f"{reason}: no end after {waited:.0f} s")
    return Verdict(reason)


def _patience(s: Situation) -> float:
    """How long a fast stop may take, in seconds. Patroni's `primary_stop_timeout` counts where a
    standby holds all that the primary has acknowledged."""
    limit, mode = s.config.primary_stop_timeout, s.config.synchronous_mode
    is_limited = s.lease is not None and limit > 0 and mode is not SynchronousMode.OFF
    return limit if is_limited else STOP_PATIENCE_S


def _stopped(s: Situation, lease: HeldLease, request: OperatorRequest) -> Verdict:
    holders = _holders(s)
    wanted = request.candidate
    ready = (wanted in holders) if wanted is not None else bool(holders)
    waited = s.since(s.memory.stop.at if s.memory.stop else s.memory.drain_since)
    if ready:
        return _release(s, lease, request, holders)
    if waited > 2 * s.config.ttl:
        reason = f"{wanted or 'no member'} did not receive the last WAL within {waited:.0f} s"
        memory = replace(s.memory, drained=None, drain_since=None, starts=0)
        return Verdict(f"{request.kind} refused: {reason}", refuse(s, lease, reason), memory)
    names = tuple(member.name for member in s.other_members)
    return Verdict("stopped; asking who holds the last WAL", (AskPeers(names),))


def _holders(s: Situation) -> tuple[MemberName, ...]:
    """The members that hold the shutdown record, as they said after it was written, and that may
    lead: the key is released for one of them."""
    control, sent = s.view.directory.control, s.memory.stop
    if control is None or control.state is not ControlState.SHUT_DOWN or sent is None:
        return ()
    return heirs.holders(
        s,
        sent.at,
        lambda report: (
            report.timeline == control.timeline
            and report.position is not None
            and report.position > control.checkpoint
        ),
    )


def _release(
    s: Situation, lease: HeldLease, request: OperatorRequest, holders: tuple[MemberName, ...]
) -> Verdict:
    operation = s.cluster.operation
    noted = operation is None or operation.id != request.id or operation.has(OperationStep.STOPPED)
    if noted:
        memory = replace(s.memory, drained=None, drain_since=None, starts=0)
        return Verdict("handed over: releasing the key", (ReleaseLeader(lease.epoch),), memory)
    sync = s.cluster.sync
    preferred = [name for name in holders if sync is not None and name in sync.standbys]
    heir = request.candidate or (preferred or list(holders))[0]
    more: tuple[Write, ...] = ()
    if sync is not None and (heir not in sync.standbys or sync.quorum > 0):
        # Nothing will be written in this epoch any more, so whoever holds all of it may lead.
        more = (Put(s.keys.sync, encode_sync(s.me, (heir,), floor=_last_record(s))),)
    actions = note(s, lease, OperationStep.STOPPED, f"{s.me} has stopped", *more)
    return Verdict(f"{heir} holds everything: writing it down", actions)


def _last_record(s: Situation) -> Lsn | None:
    """Where the record begins that a clean stop has written: whoever holds it holds everything."""
    control = s.view.directory.control
    return None if control is None else control.checkpoint


def _stop_job(s: Situation) -> Verdict | None:
    if not s.view.stopping or s.view.job is None:
        return None
    return Verdict(f"stopping: giving up {s.view.job.kind}", (CancelJob(),))


def _stop_server(s: Situation) -> Verdict | None:
    if not s.view.stopping or not s.running:
        return None
    verdict = drain(s, "stop", "stopping")
    noted = None if s.lease is None or not _is_sent(verdict) else ending(s, s.lease, STOPPED)
    return replace(
        verdict, actions=(*verdict.actions, *(noted.actions if noted is not None else ()))
    )


def _is_sent(verdict: Verdict) -> bool:
    return any(isinstance(a, Stop) and a.mode is StopMode.FAST for a in verdict.actions)


def drain(s: Situation, token: str, what: str, *, leaves_set: bool = True) -> Verdict:
    """Bring the server here down in good order: out of the synchronous set first, if it
    `leaves_set`, a checkpoint while a primary still serves, a fast stop, and patience with it.
    `token` marks in `drained` what it is for."""
    since = s.memory.drain_since or s.now
    memory = replace(s.memory, drain_since=since)
    sync = s.cluster.sync
    in_sync = leaves_set and sync is not None and s.me in sync.standbys and s.lease is None
    if in_sync and s.other_leader is not None and s.view.raft.majority:
        waited = s.since(since)
        if waited < 2 * s.config.loop_wait:
            memory = replace(memory, drained=token)
            return Verdict(f"{what}: waiting to be let out of the synchronous set", (), memory)
    if s.stop_was_sent(StopMode.FAST):
        return _await_stop(s, f"{what}: PostgreSQL is stopping")
    is_primary = s.lease is not None and s.memory.drained != token and s.server is not None
    if is_primary:
        memory = replace(memory, drained=token)
        return Verdict(f"{what}: writing a checkpoint first", (Checkpoint(),), memory)
    busy = s.view.job is not None and s.view.job.kind is JobKind.CHECKPOINT
    if busy and s.since(since) < CHECKPOINT_WAIT_S:
        return Verdict(f"{what}: the checkpoint is running", (), memory)
    verdict = stop(s, StopMode.FAST, f"{what} PostgreSQL")
    kept = verdict.memory or s.memory
    return replace(verdict, memory=replace(kept, drain_since=since, drained=token))


def _end(s: Situation) -> Verdict | None:
    if not s.view.stopping or s.running:
        return None
    if "leader" in s.view.pending and s.view.raft.majority:
        return Verdict("stopped: the key is being given back")
    if s.view.raft.majority and (leaving(s) or INTENT in s.view.pending):
        return Verdict("stopped: the others are told that no primary is left here")
    if s.lease is None or not s.view.guardian.alive:
        return Verdict("stopped", (EndAgent(),))
    return (
        _find_heir(s, s.lease)
        or _note_stop(s, s.lease)
        or Verdict("stopped: releasing the key", (ReleaseLeader(s.lease.epoch),))
    )


def _note_stop(s: Situation, lease: HeldLease) -> Verdict | None:
    """Say in the history that this was wished, so that it does not count as a primary lost; but
    not for longer than an heir is looked for."""
    sent = s.memory.stop
    is_late = sent is not None and s.since(sent.at) >= 2 * HEIR_WAIT_S
    return None if is_late else ending(s, lease, STOPPED)


def _find_heir(s: Situation, lease: HeldLease) -> Verdict | None:
    """Before the key is released: where no standby is known to hold everything yet, ask who holds
    the shutdown record, for a moment, and put one of them into the synchronous set."""
    sync = s.cluster.sync
    waited = s.since(s.memory.stop.at) if s.memory.stop else HEIR_WAIT_S
    is_known = sync is not None and sync.standbys and sync.quorum == 0
    if sync is None or is_known or not s.other_members or not s.view.raft.majority:
        return None
    holders = _holders(s)
    if holders:
        submit = heirs.named(s, lease, sync, holders, _last_record(s))
        told = holders[0] if len(holders) == 1 else f"each of {', '.join(holders)}"
        return Verdict(f"stopped: {told} holds everything, writing it down", submit)
    if waited >= HEIR_WAIT_S:
        return None
    names = tuple(member.name for member in s.other_members)
    return Verdict("stopped; asking who holds the last WAL", (AskPeers(names),))


RULES = (
    Rule(
        id="stop-10",
        when="the agent is being stopped and a job other than a checkpoint runs",
        then="cancel it",
        why="half a copy is worth nothing to a node that goes away",
        check=lambda s: (
            None
            if s.view.job is not None and s.view.job.kind is JobKind.CHECKPOINT
            else _stop_job(s)
        ),
    ),
    Rule(
        id="stop-20",
        when="the agent is being stopped and PostgreSQL runs",
        then="leave the synchronous set first; a primary writes a checkpoint; then a fast stop",
        why="commits should not wait for a standby that goes, and a short stop is a short outage",
        check=_stop_server,
    ),
    Rule(
        id="stop-30",
        when="the agent is being stopped and PostgreSQL is down",
        then="put a standby that holds the last record into an empty `sync`, release the leader "
        "key, then end",
        why="after a verified stop nobody has to wait for a lease to lapse",
        check=_end,
    ),
)

REQUEST_RULES = (
    Rule(
        id="hand-10",
        when="an operator asked to hand the leader key over and this node holds it",
        then="refuse with the reason, or: checkpoint, fast stop, see who holds the last WAL, put "
        "the heir into `sync`, release the key",
        why="a planned change loses nothing and pauses writes for as short as can be",
        check=_handover,
    ),
)
