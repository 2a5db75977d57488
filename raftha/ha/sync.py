"""Which standby commits wait for, moved one safe step at a time. PURE.

Two things must agree: `sync` in the store says who may be promoted automatically, and
`synchronous_standby_names` on the primary says whom commits wait for. The invariant is that every
standby named in the store is waited for by every commit that is acknowledged. So a standby enters
the server's setting first and the store last, and leaves the store first and the setting last.

Entering needs proof. A reload is not in force when the settings view says so: only the checkpointer
publishes that synchronous replication is on. A checkpoint after the reload shows that it has; what
the server had flushed by then is what the standby must have flushed too before it counts.
"""

from __future__ import annotations

from msgspec.structs import replace

from raftha.ha.actions import Action, Checkpoint, Configure, Submit
from raftha.ha.keys import encode_sync
from raftha.ha.memory import Arming, Memory
from raftha.ha.parting import is_leaving, stays
from raftha.ha.plans import names_for, primary_plan
from raftha.ha.situation import Situation
from raftha.instants import longest
from raftha.model.cluster import MemberState, SyncSet
from raftha.model.ids import MemberName
from raftha.model.postgres import Attached, ServerStatus
from raftha.model.settings import SynchronousMode
from raftha.model.store import Guard, KeyAbsent, KeyAt, Put, Remove, Transact, Write
from raftha.model.view import HeldLease, JobKind

SYNC_WAIT_S = 0.5
"""How long commits may wait for a standby that is not attached before the set shrinks."""


_WITHOUT_SERVER = frozenset(
    {
        MemberState.WAITING,
        MemberState.INITIALIZING,
        MemberState.CREATING,
        MemberState.REWINDING,
        MemberState.STOPPING,
        MemberState.STOPPED,
        MemberState.FAILED,
    }
)
"""What a member says of itself that has no server now. What streams under its name nevertheless is
another one, as of a machine whose agent died and which was replaced: its answers prove nothing of
what the member holds."""

WRITES_OF_SYNC = frozenset({"sync", "operation"})
"""The writes that may change `sync`: while one is open, the store may hold more than shows here."""


def step(s: Situation, lease: HeldLease, server: ServerStatus) -> tuple[tuple[Action, ...], Memory]:
    """The next step towards what is wanted; nothing if all is as it should be or a step is under
    way. At most one write to the store and one change of the setting at a time."""
    if not WRITES_OF_SYNC.isdisjoint(s.view.pending):
        return (), s.memory
    if s.config.synchronous_mode is SynchronousMode.OFF:
        return _towards_off(s, lease, server)
    if s.cluster.sync is None or s.cluster.sync.leader != s.me:
        return (_store(s, lease, ()),), s.memory
    if s.cluster.sync.standbys:
        return _keep(s, lease, server, s.cluster.sync)
    return _take_in(s, lease, server)


def is_settled(s: Situation, server: ServerStatus) -> bool:
    """Commits can be acknowledged: nobody has to be waited for, or the one waited for is here."""
    waited_for = _waited_for(s, server)
    return waited_for is None or _attached(server, waited_for) is not None


def waits_for_nobody(server: ServerStatus) -> bool:
    """The setting in force names no standby."""
    return not server.synchronous_standby_names


def _waited_for(s: Situation, server: ServerStatus) -> MemberName | None:
    """The member that the setting names; None if it names none."""
    for member in s.other_members:
        if server.synchronous_standby_names == names_for(member.name):
            return member.name
    return None


def _attached(server: ServerStatus, name: MemberName) -> Attached | None:
    for row in server.attached:
        if row.application_name.lower() == name.lower() and row.state == "streaming":
            return row
    return None


def _towards_off(
    s: Situation, lease: HeldLease, server: ServerStatus
) -> tuple[tuple[Action, ...], Memory]:
    memory = replace(s.memory, arming=None, missing_since=None)
    sync = s.cluster.sync
    if sync is not None:
        guards = (s.epoch_guard(lease), KeyAt(s.keys.sync, sync.revision))
        return (Submit("sync", Transact(guards, (Remove(s.keys.sync),))),), memory
    if waits_for_nobody(server):
        return (), memory
    return _set_names(s, None, memory)


def _keep(
    s: Situation, lease: HeldLease, server: ServerStatus, sync: SyncSet
) -> tuple[tuple[Action, ...], Memory]:
    """The store names a standby: leave it while it streams, take it out when it is gone."""
    name = sync.standbys[0]
    is_outdone = _is_outdone(s, server, name)
    serves = _attached(server, name) is not None and _may_serve(s, name) and not is_outdone
    if serves and server.synchronous_standby_names == names_for(name):
        return (), replace(s.memory, missing_since=None, arming=None)
    leaving = is_outdone or (name in s.cluster.members and not _may_serve(s, name))
    since = s.memory.missing_since or s.now
    if not leaving and longest(since, s.now) < SYNC_WAIT_S:
        return (), replace(s.memory, missing_since=since)
    return (_store(s, lease, ()),), replace(s.memory, missing_since=None, arming=None)


def _take_in(
    s: Situation, lease: HeldLease, server: ServerStatus
) -> tuple[tuple[Action, ...], Memory]:
    """The store names nobody: pick a standby, wait for it in the setting, prove it, store it."""
    waited_for = _waited_for(s, server)
    if waited_for is None:
        choice = _choose(s, server)
        if choice is None:
            memory = replace(s.memory, arming=None)
            return ((), memory) if waits_for_nobody(server) else _set_names(s, None, memory)
        return _set_names(s, choice, replace(s.memory, arming=Arming(name=choice, since=s.now)))
    arming = s.memory.arming
    if arming is None or arming.name != waited_for:
        arming = Arming(name=waited_for, since=s.now)
    row = _attached(server, waited_for)
    is_outdone = _is_outdone(s, server, waited_for)
    if row is None or is_outdone or not _may_serve(s, waited_for):
        return _wait_or_drop(s, server, replace(s.memory, arming=arming))
    return _prove(s, lease, server, arming, row)


def _wait_or_drop(
    s: Situation, server: ServerStatus, memory: Memory
) -> tuple[tuple[Action, ...], Memory]:
    since = memory.missing_since or s.now
    if longest(since, s.now) < SYNC_WAIT_S:
        return (), replace(memory, missing_since=since)
    choice = _choose(s, server)
    arming = None if choice is None else Arming(name=choice, since=s.now)
    return _set_names(s, choice, replace(memory, missing_since=None, arming=arming))


def _prove(
    s: Situation, lease: HeldLease, server: ServerStatus, arming: Arming, row: Attached
) -> tuple[tuple[Action, ...], Memory]:
    memory = replace(s.memory, arming=arming, missing_since=None)
    if not arming.checkpointed:
        if s.view.job is not None:
            return (), memory
        asked = replace(arming, checkpointed=True, since=s.now)
        return (Checkpoint(),), replace(memory, arming=asked)
    if arming.required is None:
        return (), replace(memory, arming=_after_checkpoint(s, server, arming))
    if row.flush is None or row.flush < arming.required:
        return (), memory
    return (_store(s, lease, (arming.name,)),), replace(memory, arming=None)


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
    return replace(arming, required=server.flushed) if answered_since else arming


def _may_serve(s: Situation, name: MemberName) -> bool:
    member = s.cluster.members.get(name)
    if member is None or member.tags.nosync or is_leaving(s.cluster, name):
        return False
    return member.state not in _WITHOUT_SERVER


def _may_lead(s: Situation, name: MemberName) -> bool:
    member = s.cluster.members.get(name)
    return member is not None and member.tags.may_lead and s.has_vote(member)


def _is_outdone(s: Situation, server: ServerStatus, name: MemberName) -> bool:
    """It may not lead, and another one that may could be waited for instead: else nobody might take
    over from this primary."""
    choice = None if _may_lead(s, name) else _choose(s, server)
    return choice is not None and _may_lead(s, choice)


def _choose(s: Situation, server: ServerStatus) -> MemberName | None:
    """The best standby to wait for: streaming by its own word too, willing to lead, highest
    priority, most flushed."""
    best: tuple[tuple[bool, int, int, str], MemberName] | None = None
    for member in s.other_members:
        row = _attached(server, member.name)
        if row is None or row.flush is None or not _may_serve(s, member.name):
            continue
        if member.state is not MemberState.STREAMING:
            continue
        rank = (
            _may_lead(s, member.name),
            member.tags.sync_priority,
            row.flush.value,
            member.name,
        )
        if best is None or rank > best[0]:
            best = (rank, member.name)
    return None if best is None else best[1]


def _set_names(
    s: Situation, name: MemberName | None, memory: Memory
) -> tuple[tuple[Action, ...], Memory]:
    plan = primary_plan(s.cluster, s.view.me, names_for(name), closed=s.view.directory.closed)
    if plan == s.memory.plan:
        return (), memory
    return (Configure(plan),), replace(memory, plan=plan)


def _store(s: Situation, lease: HeldLease, standbys: tuple[MemberName, ...]) -> Submit:
    sync = s.cluster.sync
    guard: Guard = KeyAbsent(s.keys.sync) if sync is None else KeyAt(s.keys.sync, sync.revision)
    guards = (s.epoch_guard(lease), guard, *(stays(s, name) for name in standbys))
    write: Write = Put(s.keys.sync, encode_sync(s.me, standbys))
    return Submit("sync", Transact(guards, (write,)))
