"""Members that an operator removes or replaces: what they may not do any more, and how the leader
clears away what a removed one leaves behind. PURE.

As soon as the wish is seen commits stop waiting for the member. Once neither `sync` nor the
server's setting names it, the leader releases it, and only then does the Raft group take its vote,
whoever leads there: else the death of the leader in between would leave nobody who may follow it.
From then on it is not promoted. Without a vote its slot goes, and then its key together with the
wish's end. Both writes are refused if `sync` has changed meanwhile.
"""

from __future__ import annotations

from msgspec.structs import replace

from raftha.ha.actions import Action, DropSlots, Submit
from raftha.ha.pausing import words_for
from raftha.ha.plans import waits_of
from raftha.ha.situation import Situation
from raftha.model.cluster import Cluster, Member
from raftha.model.ids import MemberName
from raftha.model.membership import MemberVerb, MemberWish, WishState, key_of, writing
from raftha.model.postgres import ServerStatus
from raftha.model.store import Guard, KeyAbsent, KeyAt, Remove, Transact, Write
from raftha.model.view import HeldLease

_INTENT = "parting"


def is_leaving(cluster: Cluster, name: MemberName) -> bool:
    """An operator wants it gone, or another node in its place: nothing new is to rest on it."""
    wish = cluster.wishes.get(name)
    return wish is not None and wish.unseats


def is_given_up(cluster: Cluster, name: MemberName) -> bool:
    """No commit rests on it any more, and its vote may go at any moment."""
    wish = cluster.wishes.get(name)
    return wish is not None and wish.unseats and wish.released


def stays(s: Situation, name: MemberName) -> Guard:
    """Nobody has asked for it to go, beyond what is known here: for a write that lets commits, or
    the lead, rest on it."""
    key, wish = key_of(s.keys.scope, name), s.cluster.wishes.get(name)
    return KeyAbsent(key) if wish is None else KeyAt(key, wish.revision)


def lasting_members(s: Situation) -> tuple[Member, ...]:
    """The other members but those that have lost their vote to a removal."""
    return tuple(m for m in s.other_members if not _is_unseated(s.cluster.wishes.get(m.name)))


def parting_steps(s: Situation, lease: HeldLease, server: ServerStatus) -> tuple[Action, ...]:
    """The next act that clears away what a removed member has left; one at a time."""
    if _INTENT in s.view.pending:
        return ()
    for name, wish in sorted(s.cluster.wishes.items()):
        if not wish.unseats or name == s.me or _is_waited_for(s, server, name):
            continue
        if _is_unseated(wish):
            return (_clear(s, lease, server, wish),)
        if not wish.released:
            return (_release(s, lease, wish),)
    return ()


def _is_unseated(wish: MemberWish | None) -> bool:
    return wish is not None and wish.state is WishState.UNSEATED


def _is_waited_for(s: Situation, server: ServerStatus, name: MemberName) -> bool:
    sync = s.cluster.sync
    in_store = sync is not None and name in sync.standbys
    waits = waits_of(server.synchronous_standby_names)
    return in_store or (waits is not None and name in waits.names)


def _release(s: Situation, lease: HeldLease, wish: MemberWish) -> Action:
    guards = _guards(s, lease, wish)
    return Submit(_INTENT, Transact(guards, (writing(s.keys.scope, replace(wish, released=True)),)))


def _guards(s: Situation, lease: HeldLease, wish: MemberWish) -> tuple[Guard, ...]:
    """The wish and the synchronous set are as they were judged by."""
    sync = s.cluster.sync
    return (
        s.epoch_guard(lease),
        KeyAt(key_of(s.keys.scope, wish.name), wish.revision),
        KeyAbsent(s.keys.sync) if sync is None else KeyAt(s.keys.sync, sync.revision),
    )


def _clear(s: Situation, lease: HeldLease, server: ServerStatus, wish: MemberWish) -> Action:
    cluster, keys = s.cluster, s.keys
    member = cluster.members.get(wish.name)
    others = {other.slot for other in lasting_members(s)} | {s.view.me.slot}
    if member is not None and member.slot in server.slots and member.slot not in others:
        return DropSlots((member.slot,))
    ended = wish.became(WishState.DONE, f"{wish.name} is removed; {wish.message}")
    guards = _guards(s, lease, wish)
    writes: tuple[Write, ...] = (writing(keys.scope, ended),)
    if member is None:
        return Submit(_INTENT, Transact(guards, writes))
    key = keys.member(wish.name)
    guards, writes = (*guards, KeyAt(key, member.revision)), (*writes, Remove(key))
    if (restart := cluster.scheduled_restarts.get(wish.name)) is not None:
        key = keys.scheduled_restart_of(wish.name)
        guards, writes = (*guards, KeyAt(key, restart.revision)), (*writes, Remove(key))
    return Submit(_INTENT, Transact(guards, writes))


def objection(cluster: Cluster, verb: MemberVerb, name: MemberName) -> str | None:
    """Why the cluster cannot do without a member as things stand; None if it can."""
    if verb is MemberVerb.ADD:
        return None
    leader, sync = cluster.leader, cluster.sync
    if name in cluster.disarmed:
        return f"{words_for((name,))}; then {verb} it"
    if leader is not None and leader.name == name:
        return (
            f"{name} is the primary: hand the lead over first (raftha switchover), or let the "
            "cluster choose another leader, if it is down"
        )
    if leader is None and sync is not None and name in (sync.leader, *sync.standbys):
        holders = " and ".join((sync.leader, *sync.standbys))
        return (
            f"there is no leader, and only {holders} may become one, because they provably hold "
            f"every acknowledged commit: wait for a leader before you {verb} {name}"
        )
    return None
