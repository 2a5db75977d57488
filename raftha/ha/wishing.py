"""From an operator's words to a wish about the voters, or the reason why there is none. PURE.

What can be told here and now is refused before anything is written. Whether enough voters answer is
known to the raft leader alone, which rules on every wish (`consensus/wishes.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from raftha.errors import RafthaError
from raftha.ha.keys import Keys
from raftha.ha.parting import objection
from raftha.model.cluster import Cluster
from raftha.model.ids import MemberName, Revision
from raftha.model.membership import MemberVerb, MemberWish, asking
from raftha.model.report import MemberChangeRequest
from raftha.model.store import (
    Guard,
    KeyAbsent,
    KeyAt,
    KeyCreatedAt,
    RaftRole,
    RaftStatus,
    Transact,
    VoterStatus,
)


class NotPossible(RafthaError):
    """What was asked for does not fit the cluster as it is."""


def wish_of(
    asked: MemberChangeRequest, raft: RaftStatus, cluster: Cluster, wish_id: str
) -> MemberWish:
    """The wish that the words mean, with the name as the node itself spells it. Raises
    NotPossible."""
    if not raft.majority:
        raise NotPossible("no majority of the voters is in touch: nothing can be changed safely")
    if asked.verb is MemberVerb.ADD:
        return _addition(asked, raft, wish_id)
    if asked.verb is MemberVerb.REMOVE:
        return _removal(asked, raft, cluster, wish_id)
    return _replacement(asked, raft, cluster, wish_id)


def absence(wish: MemberWish, raft: RaftStatus) -> str | None:
    """Why the raft leader would turn the wish down at once: the node that is to vote is not in
    touch. None if it is, and from everybody else, who cannot tell."""
    if raft.role is not RaftRole.LEADER or wish.verb is MemberVerb.REMOVE:
        return None
    here = raft.joiners
    if any(node.address == wish.address and _is_called(node, wish.name) for node in here):
        return None
    waiting = ", ".join(sorted(f"{node.name} at {node.address}" for node in here))
    return (
        f"no {wish.name} at {wish.address} is in touch with the raft leader: start it first, with "
        f"this cluster in its raft.partner_addrs; in touch without a vote: {waiting or 'nobody'}"
    )


def command_of(keys: Keys, cluster: Cluster, wish: MemberWish) -> Transact:
    """The command that takes a wish in. It holds only while leader and synchronous set are those
    that the wish was judged by: who leads is not removed, and whom commits wait for is released
    first."""
    before = cluster.wishes.get(wish.name)
    if wish.verb is MemberVerb.ADD:
        return asking(keys.scope, wish, before)
    leader, sync = cluster.leader, cluster.sync
    guards: tuple[Guard, ...] = (
        KeyAbsent(keys.leader)
        if leader is None
        else KeyCreatedAt(keys.leader, Revision(leader.epoch.revision)),
        KeyAbsent(keys.sync) if sync is None else KeyAt(keys.sync, sync.revision),
    )
    is_waited_for = sync is not None and wish.name in sync.standbys
    return asking(keys.scope, replace(wish, released=not is_waited_for), before, *guards)


def _addition(asked: MemberChangeRequest, raft: RaftStatus, wish_id: str) -> MemberWish:
    name, address = asked.name, asked.address
    if address is None:
        raise NotPossible("to add a node, say at which Raft address (its raft.self_addr) it is")
    seat = _named(raft.voters, name)
    if seat is not None and seat.address == address:
        raise NotPossible(f"{seat.name} at {address} has a vote already")
    if seat is not None:
        raise NotPossible(
            f"{seat.name} has a vote at {seat.address}: to give it to the node at {address}, use "
            f"raftha member replace {seat.name} {address}"
        )
    _check_free(raft, name, address)
    return MemberWish(
        id=wish_id,
        verb=MemberVerb.ADD,
        name=MemberName(_spelled(raft, name, address)),
        address=address,
    )


def _removal(
    asked: MemberChangeRequest, raft: RaftStatus, cluster: Cluster, wish_id: str
) -> MemberWish:
    name = asked.name
    seat = _named(raft.voters, name) or _unmet(raft, name)
    if seat is not None:
        if len(raft.voters) == 1:
            raise NotPossible(f"{name} is the last voter: without it there is no cluster")
        return _checked(
            cluster,
            MemberWish(
                id=wish_id,
                verb=MemberVerb.REMOVE,
                name=MemberName(seat.name or seat.address),
                address=seat.address,
                barred=seat.incarnation or "",
            ),
        )
    waiting = _named((*raft.expected, *raft.joiners), name)
    left = next((m for m in cluster.members.values() if m.name.casefold() == name.casefold()), None)
    if waiting is None and left is None:
        raise NotPossible(f"there is no {name}; there are: {_names(raft, cluster)}")
    if waiting is not None and waiting.connected and _named(raft.expected, name) is None:
        raise NotPossible(f"{waiting.name} has no vote, and runs: stop its agent first")
    return _checked(
        cluster,
        MemberWish(
            id=wish_id,
            verb=MemberVerb.REMOVE,
            name=MemberName((waiting.name if waiting else None) or (left.name if left else name)),
            address=waiting.address if waiting else (left.raft if left else ""),
        ),
    )


def _replacement(
    asked: MemberChangeRequest, raft: RaftStatus, cluster: Cluster, wish_id: str
) -> MemberWish:
    seat = _named(raft.voters, asked.name)
    if seat is None or not seat.bound or seat.name is None or seat.incarnation is None:
        raise NotPossible(f"no voter is called {asked.name}; there are: {_names(raft, cluster)}")
    if seat.is_self or seat.connected:
        raise NotPossible(
            f"{seat.name} at {seat.address} is alive: stop the old node first, a name belongs to "
            "one of the two"
        )
    address = asked.address or seat.address
    if address != seat.address:
        _check_free(raft, seat.name, address)
    return _checked(
        cluster,
        MemberWish(
            id=wish_id,
            verb=MemberVerb.REPLACE,
            name=MemberName(seat.name),
            address=address,
            barred=seat.incarnation,
        ),
    )


def _checked(cluster: Cluster, wish: MemberWish) -> MemberWish:
    reason = objection(cluster, wish.verb, wish.name)
    if reason is not None:
        raise NotPossible(reason)
    return wish


def _check_free(raft: RaftStatus, name: str, address: str) -> None:
    """Nobody else is at the address, and the node of this name is nowhere else."""
    for node in (*raft.voters, *raft.expected, *raft.joiners):
        if node.address == address and not _is_called(node, name):
            what = f"calls itself {node.name}" if node.name else "is a voter that was never met"
            raise NotPossible(f"the node at {address} {what}, not {name}")
    for node in raft.joiners:
        if _is_called(node, name) and node.address != address:
            raise NotPossible(f"{node.name} is in touch at {node.address}, not at {address}")


def _spelled(raft: RaftStatus, name: str, address: str) -> str:
    """The name as the node spells it, if it is in touch."""
    known = next((node.name for node in raft.joiners if node.address == address), None)
    return known or name


def _is_called(node: VoterStatus, name: str) -> bool:
    return node.name is not None and node.name.casefold() == name.casefold()


def _named(nodes: Iterable[VoterStatus], name: str) -> VoterStatus | None:
    return next((node for node in nodes if _is_called(node, name)), None)


def _unmet(raft: RaftStatus, address: str) -> VoterStatus | None:
    """A voter of the files whom nobody has met has no name yet."""
    return next((v for v in raft.voters if not v.bound and v.address == address), None)


def _names(raft: RaftStatus, cluster: Cluster) -> str:
    nodes = (*raft.voters, *raft.expected, *raft.joiners)
    known = {node.name or node.address for node in nodes} | {*cluster.members}
    return ", ".join(sorted(known))
