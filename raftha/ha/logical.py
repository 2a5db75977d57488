"""Logical slots that outlive a failover: made on the primary, ready or not on each standby. PURE.

From PostgreSQL 17 on the server copies them itself: a slot is made with `failover`, standbys keep
synchronised copies, and the primary sends no change that the standbys which may be promoted lack.
Before 17 a standby gets the file of the slot's state from the primary, takes it in by a restart,
and from then on moves its copy to where the primary's is, as the note of each renewal tells.

A copy is *ready* if decoding from it after a promotion misses nothing. Before 17 the rows of the
catalog that it needs could have been removed: the primary keeps them for this standby only from
the moment on at which the standby's own slot there holds them (`hot_standby_feedback`). So what
the primary's logical slot holds at that moment is noted, and the copy must have come that far.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from raftha.ha.actions import (
    Action,
    AdvanceSlots,
    CopySlots,
    DropSlots,
    MakeLogicalSlots,
    RousePostmaster,
    StopMode,
)
from raftha.ha.memory import Floors, Memory
from raftha.ha.rules.server import stop
from raftha.ha.situation import Situation
from raftha.ha.slots import is_ignored, positions_told
from raftha.ha.table import Verdict
from raftha.model.cluster import Member, MemberState
from raftha.model.ids import Lsn
from raftha.model.postgres import ServerStatus, SlotState
from raftha.model.report import Level, Notice
from raftha.model.settings import PermanentSlot
from raftha.model.trouble import Trouble
from raftha.model.view import View

SYNCED_FROM: Final = 170000
"""The version of PostgreSQL from which on it synchronises slots itself."""

STEP_BYTES: Final = 16 << 20
"""How far a copy is moved at once: all WAL on the way is read, while the loop waits."""

STREAMED_S: Final = 2.0
TURN_S: Final = 8.0
"""A standby restarts for a copy once it has streamed for so long, and so much longer for each
standby before it: not all of them at once."""

PEACE_S: Final = 60.0
"""After a restart for copies the next one waits so long: one that did not help is no reason for a
loop."""

_HALF: Final = 1 << 31


def permanent(s: Situation) -> tuple[PermanentSlot, ...]:
    """The logical slots that are wanted."""
    return tuple(p for p in s.config.slots if p.is_logical) if s.config.postgresql.use_slots else ()


def steps_of_primary(s: Situation, server: ServerStatus) -> tuple[Action, ...]:
    """Make what is missing, as a job, for that may wait for transactions; drop what was made here
    and nobody wants. One that is lost stays: its subscriber must not begin anew unnoticed."""
    wanted = permanent(s)
    there = {slot.name for slot in server.slot_states}
    missing = tuple(p for p in wanted if p.name not in there)
    steps: list[Action] = []
    surplus = _surplus(s, server)
    if surplus:
        steps.append(DropSlots(surplus))
    is_calm = s.view.job is None and s.memory.arming is None and s.cluster.checkpointed
    can_make = server.wal_level == "logical" and is_calm and not s.backing_off()
    if missing and can_make:
        steps.append(MakeLogicalSlots(missing, synced=server.version >= SYNCED_FROM))
    return tuple(steps)


def steps_of_standby(s: Situation, server: ServerStatus) -> tuple[Action, ...]:
    """Drop what is left from leading or of no use; before 17 move the copies on, from 17 on see
    that the worker runs which does."""
    left = _left(s, server)
    steps: tuple[Action, ...] = (DropSlots(left),) if left else ()
    if server.version >= SYNCED_FROM:
        return (*steps, RousePostmaster()) if unready(s, server) else steps
    behind = _behind(s, server)
    return (*steps, AdvanceSlots(behind)) if behind else steps


def _surplus(s: Situation, server: ServerStatus) -> tuple[str, ...]:
    wanted = {p.name for p in permanent(s)}
    return tuple(
        slot.name
        for slot in server.slot_states
        if slot.is_logical and slot.name in s.view.made_slots and slot.name not in wanted
        if not slot.active and not slot.synced and not _spared(s, slot)
    )


def _left(s: Situation, server: ServerStatus) -> tuple[str, ...]:
    """Copies of slots that nobody wants or that are lost; and, from 17 on, the slots of a former
    primary, in whose place none can be synchronised. The leader must have the slot."""
    told = _told(s)
    found = list(_surplus(s, server))
    for slot in server.slot_states:
        if not slot.is_logical or slot.active or slot.synced or _spared(s, slot):
            continue
        is_left = slot.failover and slot.name in told
        is_useless = slot.lost and slot.name in s.view.made_slots and slot.name in told
        if (is_left or is_useless) and slot.name not in found:
            found.append(slot.name)
    return tuple(found)


def _spared(s: Situation, slot: SlotState) -> bool:
    return is_ignored(s, slot.name, slot.plugin, slot.database)


def _told(s: Situation) -> frozenset[str]:
    """The slots that the leader has, as it told last."""
    seen, leader = s.memory.leader_seen, s.other_leader
    if seen is None or leader is None or seen.name != leader.name:
        return frozenset()
    return frozenset(seen.slots)


def _behind(s: Situation, server: ServerStatus) -> Mapping[str, Lsn]:
    """The copies that are to be moved on, and to where."""
    told, wanted = positions_told(s, server), {p.name for p in permanent(s)}
    return {
        slot.name: min(told[slot.name], Lsn(slot.position.value + STEP_BYTES))
        for slot in server.slot_states
        if slot.is_logical and slot.name in wanted and slot.name in told
        if not (slot.active or slot.lost)
        if slot.position is not None and told[slot.name] > slot.position
    }


# The copies of a standby before 17.


def copying(s: Situation, leader: Member, server: ServerStatus) -> Verdict | None:
    """Fetch the slots that this standby lacks, and restart it to take them in."""
    missing = _to_copy(s, leader, server)
    if not missing:
        return None
    names = ", ".join(missing)
    if s.memory.copied_for == s.view.guardian.process:
        verdict = stop(s, StopMode.FAST, f"restarting to take in the logical slots {names}")
        return replace(verdict, memory=replace(verdict.memory or s.memory, restarted_at=s.now))
    if not _is_its_turn(s, leader) or s.backing_off():
        return None
    return Verdict(
        f"fetching the logical slots {names} from {leader.name}", (CopySlots(leader, missing),)
    )


def _to_copy(s: Situation, leader: Member, server: ServerStatus) -> tuple[str, ...]:
    is_fit = s.leader_is_ready and server.receiver is not None and not s.cluster.paused
    if server.version >= SYNCED_FROM or not is_fit or leader.name == s.me:
        return ()
    here, told = {slot.name for slot in server.slot_states}, _told(s)
    return tuple(p.name for p in permanent(s) if p.name in told and p.name not in here)


def _is_its_turn(s: Situation, leader: Member) -> bool:
    """Others stream while this standby is away, and the one before it has had its turn."""
    memory = s.memory
    if memory.restarted_at is not None and s.since(memory.restarted_at) < PEACE_S:
        return False
    others = [m for m in s.other_members if m.name != leader.name]
    before = sum(1 for m in others if m.name < s.me)
    return (
        memory.streaming_since is not None
        and s.since(memory.streaming_since) >= STREAMED_S + TURN_S * before
        and all(_streams(m) for m in others if m.name not in memory.away)
    )


def _streams(member: Member) -> bool:
    """As it should: one that follows the archive alone never does."""
    return member.state is MemberState.STREAMING or member.tags.nostream


# Readiness.


def noted_floors(view: View, memory: Memory) -> Floors | None:
    """From which transaction on each copy of a standby must keep the catalog: what the leader's
    slot of that name kept when the leader was first seen to keep it for this standby. Another
    server process or another leader begins anew; without a leader the last word counts."""
    server, leader, seen = view.server, view.cluster.leader, memory.leader_seen
    if server is None or server.is_primary or seen is None:
        return memory.floors if server is not None else None
    if leader is None or leader.name == view.me.name:
        return memory.floors
    own = seen.slots.get(view.me.slot)
    if seen.name != leader.name or own is None or own.catalog_xmin is None:
        return None
    known, where = memory.floors, (view.guardian.process, leader.epoch)
    before = known.of if known is not None and known.where == where else {}
    return Floors(
        where=where,
        of={
            name: before.get(name, note.catalog_xmin)
            for name, note in seen.slots.items()
            if note.catalog_xmin is not None and name != view.me.slot
        },
    )


def unready(s: Situation, server: ServerStatus) -> Mapping[str, str]:
    """The wanted slots whose readers would miss changes after a promotion here, and why; none where
    a tag forbids every promotion and there is no stream by which a copy could become ready."""
    if s.view.me.tags.nostream and not server.is_primary:
        return {}
    states = {slot.name: slot for slot in server.slot_states if slot.is_logical}
    found = {}
    for wanted in permanent(s):
        state = states.get(wanted.name)
        why = "it is not here yet" if state is None else _flaw(s, server, state)
        if why:
            found[wanted.name] = why
    return found


def _flaw(s: Situation, server: ServerStatus, state: SlotState) -> str:
    if state.lost:
        return "it has lost what it needs"
    if server.version >= SYNCED_FROM:
        return "" if state.synced else "it is not synchronised"
    floors = s.memory.floors
    floor = None if floors is None else floors.of.get(state.name)
    if floor is None:
        return "the primary does not keep the catalog for it yet"
    if state.catalog_xmin is None or _precedes(state.catalog_xmin, floor):
        return "it has not come as far yet as the primary keeps the catalog for it"
    return ""


def _precedes(one: int, other: int) -> bool:
    """The transaction is older; the numbers wrap."""
    return one != other and (other - one) % (2 * _HALF) < _HALF


def words_of_unready(s: Situation, server: ServerStatus) -> str:
    """For the record of a promotion: whose readers may miss changes; empty if nobody's."""
    names = ", ".join(sorted(unready(s, server)))
    return f"; not ready here, so that readers may miss changes: {names}" if names else ""


def notices(s: Situation) -> list[Notice]:
    """What is wrong with the logical slots of the server here."""
    server = s.server
    if server is None or not permanent(s):
        return []
    found = _of_primary(s, server) if server.is_primary else _of_standby(s, server)
    return [
        Notice(
            code=Trouble.LOGICAL_SLOT, subject=s.me, what=what, remedy=remedy, level=Level.WARNING
        )
        for what, remedy in found
    ]


def _of_primary(s: Situation, server: ServerStatus) -> list[tuple[str, str]]:
    states = {slot.name: slot for slot in server.slot_states}
    found = []
    if server.wal_level != "logical":
        found.append(
            (
                f"the logical slots of `slots` cannot be made: wal_level is {server.wal_level}",
                "set postgresql.parameters.wal_level to logical and restart PostgreSQL on all "
                "members, the standbys first",
            )
        )
    for wanted in permanent(s):
        state = states.get(wanted.name)
        if state is None:
            continue
        given = (state.plugin, state.database)
        if given != (wanted.plugin, wanted.database):
            found.append(
                (
                    f"the slot {state.name} is there and is not the one of `slots`: it has "
                    + (f"plugin {given[0]}, database {given[1]}" if given[0] else "no plugin"),
                    "drop it, if nobody needs it, or give the entry of `slots` another name",
                )
            )
        elif state.lost:
            found.append(
                (
                    f"the logical slot {state.name} has lost what its reader still needs",
                    "set its reader up anew; once the slot is dropped (pg_drop_replication_slot) "
                    "raftha makes it anew",
                )
            )
        elif server.version >= SYNCED_FROM and not state.failover:
            found.append(
                (
                    f"the logical slot {state.name} is not synchronised to standbys: it was made "
                    "without failover",
                    "ALTER SUBSCRIPTION ... SET (failover = true) while it is disabled, or drop "
                    "the slot: raftha makes it anew",
                )
            )
    return found


def _of_standby(s: Situation, server: ServerStatus) -> list[tuple[str, str]]:
    return [
        (
            f"the logical slot {name} is not ready here: {why}",
            "wait, with its reader running; a promotion of this member now could lose changes for "
            "that reader",
        )
        for name, why in sorted(unready(s, server).items())
    ]
