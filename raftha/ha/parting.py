"""Members that an operator removes or replaces: what they may not do any more, and how the leader
clears away what a removed one leaves behind. PURE.

The vote goes in the Raft group, whoever leads there. Here the member first stops being waited for
and being promoted, as soon as the wish is seen; once it has no vote, and neither `sync` nor the
server's setting names it, its slot goes, and then its key together with the wish's end. That last
write is refused if `sync` has changed meanwhile, so the store never names a synchronous standby
that it does not know.
"""

from __future__ import annotations

from raftha.ha.actions import Action, DropSlots, Submit
from raftha.ha.plans import names_for
from raftha.ha.situation import Situation
from raftha.model.cluster import Cluster, Member
from raftha.model.ids import MemberName
from raftha.model.membership import MemberVerb, MemberWish, WishState, key_of, writing
from raftha.model.postgres import ServerStatus
from raftha.model.store import Guard, KeyAt, Remove, Transact, Write
from raftha.model.view import HeldLease

_INTENT = "parting"


def is_leaving(cluster: Cluster, name: MemberName) -> bool:
    """An operator wants it gone, or another node in its place: nothing new is to rest on it."""
    wish = cluster.wishes.get(name)
    return wish is not None and wish.unseats


def lasting_members(s: Situation) -> tuple[Member, ...]:
    """The other members but those that have lost their vote to a removal."""
    return tuple(m for m in s.other_members if not _is_unseated(s.cluster.wishes.get(m.name)))


def parting_steps(s: Situation, lease: HeldLease, server: ServerStatus) -> tuple[Action, ...]:
    """The next act that clears away what a removed member has left; one at a time."""
    if _INTENT in s.view.pending:
        return ()
    for name, wish in sorted(s.cluster.wishes.items()):
        if _is_unseated(wish) and name != s.me and not _is_waited_for(s, server, name):
            return (_clear(s, lease, server, wish),)
    return ()


def _is_unseated(wish: MemberWish | None) -> bool:
    return wish is not None and wish.state is WishState.UNSEATED


def _is_waited_for(s: Situation, server: ServerStatus, name: MemberName) -> bool:
    sync = s.cluster.sync
    in_store = sync is not None and name in sync.standbys
    return in_store or server.synchronous_standby_names == names_for(name)


def _clear(s: Situation, lease: HeldLease, server: ServerStatus, wish: MemberWish) -> Action:
    cluster, keys = s.cluster, s.keys
    member = cluster.members.get(wish.name)
    others = {other.slot for other in lasting_members(s)} | {s.view.me.slot}
    if member is not None and member.slot in server.slots and member.slot not in others:
        return DropSlots((member.slot,))
    ended = wish.became(WishState.DONE, f"{wish.name} is removed; {wish.message}")
    guards: list[Guard] = [
        s.epoch_guard(lease),
        KeyAt(key_of(keys.scope, wish.name), wish.revision),
    ]
    writes: list[Write] = [writing(keys.scope, ended)]
    if member is not None:
        guards.append(KeyAt(keys.member(wish.name), member.revision))
        writes.append(Remove(keys.member(wish.name)))
    if cluster.sync is not None:
        guards.append(KeyAt(keys.sync, cluster.sync.revision))
    return Submit(_INTENT, Transact(tuple(guards), tuple(writes)))


def objection(cluster: Cluster, verb: MemberVerb, name: MemberName) -> str | None:
    """Why the cluster cannot do without a member as things stand; None if it can."""
    if verb is MemberVerb.ADD:
        return None
    leader, sync = cluster.leader, cluster.sync
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
