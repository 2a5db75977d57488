"""Which standbys commits wait for and who may be promoted, moved one safe step at a time. PURE.

Two things must agree: `sync` in the store says who may be promoted automatically, and
`synchronous_standby_names` on the primary says whom commits wait for. The invariant is that no
commit is acknowledged that one who is promoted could lack. `standbys.py` says whom commits should
wait for, `quorum.py` which step towards that keeps the invariant; here it is done.

Where a step needs proof: a reload is not in force when the settings view says so, for only the
checkpointer publishes that synchronous replication is on. A checkpoint after the reload shows that
it has; what the server had flushed by then is what a standby must have flushed too before it
counts.
"""

from __future__ import annotations

from msgspec.structs import replace

from raftha.ha.actions import Action, Checkpoint, Configure, Submit
from raftha.ha.keys import encode_sync
from raftha.ha.memory import Arming, Memory
from raftha.ha.parting import stays
from raftha.ha.plans import primary_plan, setting_of, waits_of
from raftha.ha.quorum import (
    NO_STANDBY,
    Promotable,
    Prove,
    SetNames,
    StoreSet,
    goal,
    is_implied,
    next_step,
)
from raftha.ha.situation import Situation
from raftha.ha.standbys import SYNC_WAIT_S, absences, attached, may_serve, wanted
from raftha.ha.telling import told_meanwhile
from raftha.instants import longest
from raftha.model.cluster import SyncSet
from raftha.model.ids import Lsn, MemberName
from raftha.model.postgres import ServerStatus
from raftha.model.settings import SynchronousMode
from raftha.model.store import Guard, KeyAbsent, KeyAt, Put, Remove, Transact, Write
from raftha.model.view import HeldLease, JobKind

WRITES_OF_SYNC = frozenset({"sync", "operation"})
"""The writes that may change `sync`: while one is open, the store may hold more than shows here."""

Done = tuple[tuple[Action, ...], Memory]


def step(s: Situation, lease: HeldLease, server: ServerStatus) -> Done:
    """The next step towards what is wanted; nothing if all is as it should be or a step is under
    way, or nothing can be stored. At most one write to the store and one change of the setting at a
    time."""
    if not WRITES_OF_SYNC.isdisjoint(s.view.pending) or not s.view.raft.majority:
        return (), s.memory
    if s.config.synchronous_mode is SynchronousMode.OFF:
        return _towards_off(s, lease, server)
    if s.cluster.sync is None or s.cluster.sync.leader != s.me:
        return (_store(s, lease, NO_STANDBY, None),), s.memory
    return _towards_wanted(s, lease, server, s.cluster.sync)


def is_settled(server: ServerStatus) -> bool:
    """Commits can be acknowledged: as many as have to be waited for are here."""
    waits = waits_of(server.synchronous_standby_names)
    if waits is None:
        return True
    return sum(attached(server, name) is not None for name in waits.names) >= waits.count


def waits_for_nobody(server: ServerStatus) -> bool:
    """The setting in force names no standby."""
    return not server.synchronous_standby_names


def promotable(sync: SyncSet) -> Promotable:
    """What the store says, as it is reckoned with."""
    names = frozenset(sync.standbys)
    return Promotable(names, sync.quorum + 1) if names else NO_STANDBY


def _towards_off(s: Situation, lease: HeldLease, server: ServerStatus) -> Done:
    memory = replace(s.memory, arming=None, absent={})
    sync = s.cluster.sync
    if sync is not None:
        guards = (s.epoch_guard(lease), KeyAt(s.keys.sync, sync.revision))
        told, position = told_meanwhile(s, server)
        command = Transact((*guards, *told), (Remove(s.keys.sync), *position))
        return (Submit("sync", command),), memory
    if waits_for_nobody(server):
        return (), memory
    return _set_names(s, "", memory)


def _towards_wanted(s: Situation, lease: HeldLease, server: ServerStatus, sync: SyncSet) -> Done:
    memory = replace(s.memory, absent=absences(s, server))
    waits = wanted(s, server, memory.absent)
    names = setting_of(waits, s.config.synchronous_mode)
    arming = memory.arming
    if arming is None or arming.names != names:
        arming = Arming(names=names, since=s.now)
    stored, shown = promotable(sync), waits_of(server.synchronous_standby_names)
    match next_step(stored, shown, waits, _holders(s, server, arming)):
        case SetNames():
            return _set_names(s, names, replace(memory, arming=Arming(names=names, since=s.now)))
        case StoreSet(aim):
            # Who may be promoted by what is implied might have been before, and holds as much.
            floor = sync.floor if is_implied(aim, stored) else arming.redo
            return (_store(s, lease, aim, floor),), replace(memory, arming=None)
        case _ if server.synchronous_standby_names != names:  # the same, written otherwise
            return _set_names(s, names, memory)
        case Prove():
            return _prove(s, server, replace(memory, arming=arming))
        case _:
            is_done = stored == goal(waits)
            return (), replace(memory, arming=None if is_done else arming)


def _holders(s: Situation, server: ServerStatus, arming: Arming) -> frozenset[MemberName] | None:
    """The standbys that have flushed what is required; None while that is not known."""
    required = arming.required
    if required is None:
        return None
    found = []
    for member in s.other_members:
        row = attached(server, member.name)
        has_all = row is not None and row.flush is not None and row.flush >= required
        if has_all and may_serve(s, member.name):
            found.append(member.name)
    return frozenset(found)


def _prove(s: Situation, server: ServerStatus, memory: Memory) -> Done:
    arming = memory.arming
    if arming is None or (not arming.checkpointed and s.view.job is not None):
        return (), memory
    if not arming.checkpointed:
        asked = replace(arming, checkpointed=True, since=s.now)
        return (Checkpoint(),), replace(memory, arming=asked)
    return (), replace(memory, arming=_after_checkpoint(s, server, arming))


def _after_checkpoint(s: Situation, server: ServerStatus, arming: Arming) -> Arming:
    """Note what the server had flushed once the checkpoint has ended; ask again if it was lost."""
    done = s.view.finished
    is_ours = (
        done is not None
        and done.kind is JobKind.CHECKPOINT
        and done.error is None
        and longest(arming.since, done.ended) >= 0
    )
    if done is None or not is_ours:
        lost = s.view.job is None and s.since(arming.since) > SYNC_WAIT_S
        return replace(arming, checkpointed=not lost)
    seen = s.view.server_seen
    answered_since = seen is not None and longest(done.ended, seen) >= 0
    if not answered_since:
        return arming
    return replace(arming, required=server.flushed, redo=server.redo)


def _set_names(s: Situation, names: str, memory: Memory) -> Done:
    plan = primary_plan(s.cluster, s.view.me, names, closed=s.view.directory.closed)
    if plan == s.memory.plan:
        return (), memory
    return (Configure(plan),), replace(memory, plan=plan)


def _store(s: Situation, lease: HeldLease, aim: Promotable, floor: Lsn | None) -> Submit:
    sync, standbys = s.cluster.sync, tuple(sorted(aim.names))
    guard: Guard = KeyAbsent(s.keys.sync) if sync is None else KeyAt(s.keys.sync, sync.revision)
    guards = (s.epoch_guard(lease), guard, *(stays(s, name) for name in standbys))
    document = encode_sync(s.me, standbys, max(0, aim.heard - 1), floor=floor)
    write: Write = Put(s.keys.sync, document)
    return Submit("sync", Transact(guards, (write,)))
