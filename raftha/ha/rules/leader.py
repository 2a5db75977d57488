"""What the holder of the leader key does with a server that runs: promote, serve. PURE."""

from __future__ import annotations

from msgspec.structs import replace

from raftha.ha import logical, sync
from raftha.ha.actions import (
    Action,
    Checkpoint,
    Configure,
    ConfirmBirth,
    DropSlots,
    EndDoubles,
    EnsureSlots,
    MakeLogicalSlots,
    Promote,
    StopMode,
    Submit,
)
from raftha.ha.annals import giving_back, record_of, rewritten
from raftha.ha.backoff import peace_s, strikes_after
from raftha.ha.candidates import corrected
from raftha.ha.consent import consent
from raftha.ha.keys import KEPT_RECORDS, LONGEST_REASON, encode_history, encode_status
from raftha.ha.logical import words_of_unready
from raftha.ha.memory import Memory
from raftha.ha.operations import closing_steps, holds_all
from raftha.ha.parting import parting_steps
from raftha.ha.plans import primary_plan
from raftha.ha.rules.server import stop
from raftha.ha.serving import with_gap
from raftha.ha.situation import Situation
from raftha.ha.slots import missing_slots, slot_steps, words_of
from raftha.ha.standbys import names_at_promotion
from raftha.ha.streams import doubled, stream_of
from raftha.ha.table import Rule, Verdict
from raftha.ha.telling import last_told
from raftha.instants import Seconds, longest
from raftha.model.cluster import HistoryRecord
from raftha.model.ids import Lsn, Timeline
from raftha.model.postgres import ServerStatus
from raftha.model.store import Guard, KeyAbsent, KeyAt, Put, Transact
from raftha.model.view import HeldLease, JobKind


def _promote(s: Situation) -> Verdict | None:
    lease, server = s.lease, s.server
    if lease is None or server is None or server.is_primary:
        return None
    slots = _missing_slots(s, server)
    record = record_of(s, lease)
    if record is None:
        waits = consent(s, lease)
        if waits is not None:
            # Who follows gets what it lacks meanwhile, and may lead if this node may not.
            return replace(waits, actions=(*slots, *_publish(s, lease, server), *waits.actions))
        submit = () if "history" in s.view.pending else (_record(s, lease, server),)
        return Verdict("recording the promotion before it happens", (*slots, *submit))
    if s.memory.promoted == lease.epoch:
        return _promoting(s)
    if server.timeline >= record.timeline:
        why = f"timeline {record.timeline} was written under its epoch before"
        return giving_back(s, lease, why)
    plan = primary_plan(s.cluster, s.view.me, names_at_promotion(s))
    burned = tuple(sorted(r.timeline for r in s.cluster.history if r.timeline < record.timeline))
    memory = replace(s.memory, plan=plan, promoted=lease.epoch, promoted_at=s.now)
    memory = replace(memory, checkpoint_asked=None)
    reason = f"promoting to timeline {record.timeline} under epoch {lease.epoch}"
    actions = (*slots, *_publish(s, lease, server), Promote(lease.epoch, plan, burned))
    return Verdict(reason, actions, memory)


def _promoting(s: Situation) -> Verdict:
    waited = s.since(s.memory.promoted_at)
    if waited < _promote_timeout(s):
        return Verdict(f"PostgreSQL is being promoted, {waited:.1f} s so far")
    return stop(s, StopMode.IMMEDIATE, f"the promotion took {waited:.0f} s: giving up")


def _promote_timeout(s: Situation) -> Seconds:
    return Seconds(max(4 * s.config.ttl, 20.0))


def _missing_slots(s: Situation, server: ServerStatus) -> tuple[Action, ...]:
    missing = missing_slots(s, server)
    return (EnsureSlots(missing),) if missing else ()


def _record(s: Situation, lease: HeldLease, server: ServerStatus) -> Action:
    number = Timeline(max(s.cluster.highest_timeline, server.timeline) + 1)
    record = HistoryRecord(
        timeline=number,
        parent=server.timeline,
        switch=server.position,
        epoch=lease.epoch,
        leader=s.me,
        reason=((s.memory.race or "promoted") + words_of_unready(s, server))[:LONGEST_REASON],
        wall=s.view.wall,
        seen=_last_written(s, server.timeline),
        strikes=strikes_after(s),
        lost_bytes=0 if holds_all(s) else None,
    )
    revision = s.cluster.history_revision
    key = s.keys.history
    guard: Guard = KeyAbsent(key) if revision is None else KeyAt(key, revision)
    put = Put(key, encode_history((*s.cluster.history[-KEPT_RECORDS:], record)))
    return Submit("history", Transact((s.epoch_guard(lease), guard), (put,)))


def _last_written(s: Situation, timeline: Timeline) -> Lsn | None:
    """How far the leader before had written the timeline that ends here, as it told last."""
    known = last_told(s)
    return known[1] if known is not None and known[0] == timeline else None


def _correct_history(s: Situation, lease: HeldLease, server: ServerStatus) -> tuple[Action, ...]:
    """Put the true switch positions into the records of the line that is written: what was stored
    before a promotion could only be what had been received by then, and others judge by it. After
    a time of peace the strikes are forgotten."""
    records = corrected(s.cluster.history, server.timeline, s.view.forks)
    if records and s.since(s.memory.serving_since) >= peace_s(s):
        # Not by its epoch: a primary that took its key again after a pause was promoted before.
        records = (*records[:-1], replace(records[-1], strikes=0))
    return rewritten(s, lease, records)


def _publish(s: Situation, lease: HeldLease, server: ServerStatus) -> tuple[Action, ...]:
    """Say which slots exist here and which timeline is written, if the store says otherwise."""
    cluster = s.cluster
    wanted = {member.slot for member in s.other_members}
    slots = tuple(sorted(wanted & set(server.slots))) if s.config.postgresql.use_slots else ()
    timeline = server.timeline if server.is_primary else cluster.timeline
    done = cluster.checkpointed or (server.is_primary and _has_checkpointed(s))
    known = (cluster.slots, cluster.timeline, cluster.checkpointed)
    if (slots, timeline, done) == known or "status" in s.view.pending:
        return ()
    revision = cluster.status_revision
    key = s.keys.status
    guard: Guard = KeyAbsent(key) if revision is None else KeyAt(key, revision)
    put = Put(key, encode_status(slots, timeline, checkpointed=done))
    return (Submit("status", Transact((s.epoch_guard(lease), guard), (put,))),)


def _has_checkpointed(s: Situation) -> bool:
    """A checkpoint that was asked for since the promotion has ended well."""
    done, asked = s.view.finished, s.memory.checkpoint_asked
    if done is None or asked is None or done.kind is not JobKind.CHECKPOINT or done.error:
        return False
    return longest(asked, done.ended) >= 0


def _checkpoint(s: Situation, memory: Memory, *, asked: bool) -> tuple[tuple[Action, ...], Memory]:
    """Ask for the checkpoint that others wait for before they rewind; once, and again if lost.
    One that is asked for at this moment anyway serves as well."""
    if s.cluster.checkpointed or s.view.job is not None or _has_checkpointed(s):
        return (), memory
    return () if asked else (Checkpoint(),), replace(memory, checkpoint_asked=s.now)


def _wrong_timeline(s: Situation) -> Verdict | None:
    lease, server = s.lease, s.server
    if lease is None or server is None or not server.is_primary:
        return None
    record = record_of(s, lease)
    if record is None or record.timeline == server.timeline:
        return None
    reason = f"timeline {server.timeline} is written, but {record.timeline} was committed"
    return stop(s, StopMode.IMMEDIATE, reason)


def _serve(s: Situation) -> Verdict | None:
    lease, server = s.lease, s.server
    if lease is None or server is None or not server.is_primary:
        return None
    slots = (*slot_steps(s, server), *logical.steps_of_primary(s, server))
    # What others wait for comes first, and only one of these at a time.
    published = (
        _correct_history(s, lease, server)
        or _publish(s, lease, server)
        or rewritten(s, lease, with_gap(s, lease, s.cluster.history))
    )
    synced, memory = sync.step(s, lease, server)
    memory = replace(memory, promoted_at=memory.promoted_at or s.now)
    opened, memory = _reconfigure(s, server, memory)
    settled, memory = _checkpoint(s, memory, asked=any(isinstance(a, Checkpoint) for a in synced))
    born: tuple[Action, ...] = (ConfirmBirth(),) if s.view.directory.unborn else ()
    closing = closing_steps(s, lease, server)
    actions: tuple[Action, ...] = (
        *_end_doubles(s, server),
        *slots,
        *published,
        *synced,
        *opened,
        *settled,
        *closing,
        *parting_steps(s, lease, server),
        *born,
    )
    if not actions:
        return Verdict(f"no action: I am {s.me}, the leader with the lock", (), memory)
    acts = ", ".join(_word(action) for action in actions)
    return Verdict(f"I am {s.me}, the leader with the lock: {acts}", actions, memory)


def _end_doubles(s: Situation, server: ServerStatus) -> tuple[Action, ...]:
    """Streams that carry one name count for nobody until one of them is left."""
    streams = tuple(stream_of(s.cluster, name) for name in doubled(server))
    return (EndDoubles(streams),) if streams else ()


def _word(action: Action) -> str:
    """An act of a serving leader, in the words of the log."""
    match action:
        case Submit(intent=intent):
            return f"writing {intent}"
        case EnsureSlots() | DropSlots() | MakeLogicalSlots():
            return words_of(action)
        case EndDoubles(streams=streams):
            return f"ending all but the newest of the streams called {', '.join(streams)}"
        case Configure(plan=plan):
            waits = plan.synchronous_standby_names or "nobody"
            return f"configuring the server, commits wait for {waits}"
        case Checkpoint():
            return "asking for a checkpoint"
        case ConfirmBirth():
            return "confirming the new data directory"
        case _:
            return type(action).__name__


def _reconfigure(
    s: Situation, server: ServerStatus, memory: Memory
) -> tuple[tuple[Action, ...], Memory]:
    """Write the configuration where it differs from what is wanted: a changed setting, or the gate
    that a restart in place left closed until the synchronous standby is back. The gate is looked
    at, not remembered: the agent may have been restarted meanwhile."""
    gated = s.view.directory.closed and not sync.is_settled(server)
    names = (
        memory.plan.synchronous_standby_names if memory.plan else server.synchronous_standby_names
    )
    plan = primary_plan(s.cluster, s.view.me, names, closed=gated)
    if plan == memory.plan:
        return (), memory
    return (Configure(plan),), replace(memory, plan=plan)


RULES = (
    Rule(
        id="lead-30",
        when="the leader key is held by a standby",
        then="ask `pre_promote`, if there is one, and give the key back where it forbids the "
        "promotion; make the slots, commit the history record with a timeline never used before, "
        "write the synchronous names, have the guardian promote; give the key back where that "
        "timeline is there already",
        why="two promotions must never share a timeline number, or an epoch, which has one record; "
        "and the first commit must already wait for whom it must wait for",
        check=_promote,
    ),
    Rule(
        id="lead-35",
        when="the primary here writes another timeline than the one committed for its epoch",
        then="stop it at once",
        why="two servers that write one timeline number cannot be told apart later",
        check=_wrong_timeline,
    ),
    Rule(
        id="lead-40",
        when="the leader key is held by a running primary",
        then="keep slots, synchronous set and configuration as they should be; end all but the "
        "newest of the streams of one name; clear away what a removed member has left",
        why="the healthy state: nothing is written unless something differs",
        check=_serve,
    ),
)
