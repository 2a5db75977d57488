"""`decide`: the ordered table of rules, and the one function that applies it. PURE.

The first rule that matches decides. What it returns is data; nothing has happened yet. The member's
announcement, what a rejoin undid, and the end of what a pause needed go along with every decision:
they never conflict with one.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from raftha.ha.actions import AcquireLeader, Action, Submit
from raftha.ha.announce import announcement
from raftha.ha.backoff import backoff
from raftha.ha.foresight import early_questions
from raftha.ha.keys import Keys, decode_position, decode_slots
from raftha.ha.logical import noted_floors
from raftha.ha.losses import loss_report
from raftha.ha.memory import LeaderSeen, Memory, Unstreamed
from raftha.ha.pausing import leaving
from raftha.ha.rules import (
    bootstrap,
    election,
    follower,
    halt,
    handover,
    leader,
    pause,
    replay,
    restart,
    safety,
    scheduled,
    wishes,
    work,
)
from raftha.ha.rules.follower import WAL_REMOVED
from raftha.ha.serving import last_served
from raftha.ha.situation import Situation
from raftha.ha.slots import absent_since
from raftha.ha.table import Decision, Rule, Verdict
from raftha.instants import longest
from raftha.model.cluster import Leader
from raftha.model.store import Grant
from raftha.model.view import JobKind, View

FIRST_RETRY_S: Final = 1.0
LONGEST_RETRY_S: Final = 30.0
"""Pause after a failed job: doubled with each failure in a row, up to the longest."""


_FOUNDING: Final = (
    JobKind.INITDB,
    JobKind.RESTORE,
    JobKind.CREATE_ROLES,
    JobKind.POST_BOOTSTRAP,
)
"""Steps of a bootstrap: that one went well does not make another attempt due sooner."""

STREAM_LASTS_S: Final = 2.0
"""A stream that is there for so long is no flash between two failed attempts."""


def _nothing(s: Situation) -> Verdict:
    return Verdict(f"{s.me} has nothing to do")


IDLE = Rule(
    id="idle-10",
    when="no other rule matches",
    then="nothing",
    why="the table is total",
    check=_nothing,
)

RULES: Final[tuple[Rule, ...]] = (
    *safety.RULES,
    *pause.RULES,
    *handover.RULES,
    *work.RULES,
    *halt.RULES,
    *bootstrap.RULES,
    *scheduled.RULES,
    *wishes.RULES,
    *handover.REQUEST_RULES,
    *restart.RULES,
    *leader.RULES,
    *replay.RULES,
    *election.RULES,
    *follower.RULES,
    IDLE,
)


def decide(view: View, memory: Memory, keys: Keys) -> Decision:
    """What to do now. Total: every view gets a decision, and the same one each time."""
    observed = observe_memory(view, memory)
    served = last_served(Situation(view, observed, keys))
    situation = Situation(view, replace(observed, served=served), keys)
    for rule in RULES:
        verdict = rule.check(situation)
        if verdict is not None:
            actions = (
                *verdict.actions,
                *announcement(situation),
                *loss_report(situation),
                *leaving(situation),
                *early_questions(situation),
            )
            return Decision(
                rule=rule.id,
                reason=verdict.reason,
                actions=tuple(a for a in actions if not _overwrites_the_unread(situation, a)),
                memory=verdict.memory or situation.memory,
            )
    raise AssertionError("the last rule matches always")


def _overwrites_the_unread(s: Situation, action: Action) -> bool:
    """A write to a key whose content this version does not understand: never sent."""
    if not isinstance(action, Submit | AcquireLeader):
        return False
    named = {write.key for write in action.command.writes if not isinstance(write, Grant)}
    return not named.isdisjoint(s.cluster.unreadable)


def observe_memory(view: View, memory: Memory) -> Memory:
    """Bring up to date what is remembered about time: since when something is as it is."""
    memory = _starving(view, _count_failures(view, memory))
    memory = replace(memory, floors=noted_floors(view, memory))
    cluster = view.cluster
    leader_key = cluster.leader
    known = cluster.initialize is not None
    vacant = leader_key is None and known and view.raft.majority
    # Each leader rewrites the status key as it wins: another revision is another vacancy, even
    # where its whole reign went unseen here, and what was told before it is out of date.
    goes_on = memory.lost_at == cluster.status_revision
    lost_since = ((goes_on and memory.lost_since) or view.now) if vacant else None
    alone_since = None if view.raft.majority else (memory.alone_since or view.now)
    request = cluster.request
    ends_here = view.stopping or _is_leaving_service(view, memory)
    is_asked = request is not None and request.id == memory.drained
    drained = memory.drained if ends_here or is_asked else None
    request_id = "" if request is None else request.id
    request_since = memory.request_since if request_id == memory.request_seen else view.now
    stop = memory.stop
    if stop is not None and view.guardian.running and stop.process != view.guardian.process:
        stop = None
    serves = view.lease is not None and view.server is not None and view.server.is_primary
    return replace(
        memory,
        down_since=None if view.guardian.running else (memory.down_since or view.now),
        serving_since=(memory.serving_since or view.now) if serves else None,
        lost_since=lost_since,
        lost_at=cluster.status_revision,
        live_primary_since=memory.live_primary_since if vacant else None,
        cutting_since=memory.cutting_since if vacant and view.server and not view.cut else None,
        alone_since=alone_since,
        together_since=(memory.together_since or view.now) if view.raft.majority else None,
        leader_seen=_last_renewal(view, memory.leader_seen),
        away=absent_since(view, memory.away),
        stop=stop,
        starts=memory.starts if view.server is None else 0,
        request_seen=request_id,
        request_since=request_since if request_id else None,
        unstreamed=_unstreamed(view, memory.unstreamed),
        drained=drained,
        drain_since=memory.drain_since if drained is not None or ends_here else None,
    )


def _unstreamed(view: View, before: Unstreamed | None) -> Unstreamed | None:
    """Each leader is a new one to begin with: whoever streamed from the last has to find it."""
    leader, server = view.cluster.leader, view.server
    if leader is None or server is None or server.is_primary:
        return None
    if server.receiver is not None and server.receiver.status == "streaming":
        return None
    if before is not None and before.epoch == leader.epoch:
        return before
    return Unstreamed(epoch=leader.epoch, since=view.now)


def _last_renewal(view: View, seen: LeaderSeen | None) -> LeaderSeen | None:
    leader = view.cluster.leader
    if leader is None or (seen is not None and seen.revision == leader.lease.revision):
        return seen
    note = decode_position(leader.lease.note)
    slots = decode_slots(leader.lease.note)
    if note is None and seen is not None and _is_of_this_reign(seen, leader):
        # The leader's server is gone, as at the end of a switchover: its last word holds.
        slots = seen.slots
    return LeaderSeen(
        revision=leader.lease.revision,
        at=view.now,
        name=leader.name,
        timeline=note[0] if note else (seen.timeline if seen else None),
        position=note[1] if note else (seen.position if seen else None),
        slots=slots,
    )


def _is_of_this_reign(seen: LeaderSeen, leader: Leader) -> bool:
    return seen.name == leader.name and seen.revision >= leader.epoch.revision


def _is_leaving_service(view: View, memory: Memory) -> bool:
    """The server here is to be restarted, or to be stopped for a new copy."""
    if view.cluster.paused:
        return False
    if view.cluster.halt is not None and view.guardian.running:
        return True
    return view.restart_wished or (memory.wal_gone and view.guardian.running)


def _starving(view: View, memory: Memory) -> Memory:
    """Note since when a standby asks for WAL that is gone. It may seem to stream for an instant in
    between, so only progress, or a stream that lasts, ends it."""
    server = view.server
    if server is None:
        return memory
    if view.me.tags.nostream:
        return replace(memory, streaming_since=None, starved_since=None, starved_at=None)
    is_streaming = server.receiver is not None and server.receiver.status == "streaming"
    streaming_since = (memory.streaming_since or view.now) if is_streaming else None
    memory = replace(memory, streaming_since=streaming_since)
    moved = server.is_primary or server.replayed != memory.starved_at
    lasts = streaming_since is not None and longest(streaming_since, view.now) >= STREAM_LASTS_S
    if WAL_REMOVED in view.last_words and (moved or memory.starved_since is None):
        return replace(memory, starved_since=view.now, starved_at=server.replayed)
    if moved or lasts:
        return replace(memory, starved_since=None, starved_at=None)
    return memory


def _count_failures(view: View, memory: Memory) -> Memory:
    done = view.finished
    if done is None or memory.last_job == done.ended:
        return memory
    if done.kind is JobKind.PRE_PROMOTE:
        refused = None if done.error is None else done.ended
        return replace(memory, last_job=done.ended, pre_promote_refused=refused)
    if done.error is None:
        if done.kind is JobKind.COPY_SLOTS:
            memory = replace(memory, copied_for=view.guardian.process)
        failures = memory.failures if done.kind in _FOUNDING else 0
        memory = replace(memory, last_job=done.ended, failures=failures, retry_at=None, failed="")
        if done.kind is JobKind.CLONE:
            memory = replace(memory, wal_gone=False, from_leader=False)
            return replace(memory, starved_since=None, starved_at=None)
        leader = view.cluster.leader
        if done.kind is JobKind.REJOIN and leader is not None:
            return replace(memory, rejoined=leader.epoch)
        return memory
    failures = memory.failures + 1
    retry_at = done.ended.plus(backoff(failures, FIRST_RETRY_S, LONGEST_RETRY_S))
    if longest(view.now, retry_at) < 0:
        retry_at = view.now
    return replace(
        memory,
        last_job=done.ended,
        failures=failures,
        retry_at=retry_at,
        failed=f"{done.kind}: {done.error}",
    )
