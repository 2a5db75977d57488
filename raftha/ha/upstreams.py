"""From whom each standby streams, and from whom a new one is copied. PURE.

That is the leader, unless a tag names somebody else who can do it as well. Both are asked here by
the standby and by the leader, from what the store says and who is in touch, so that the leader
keeps no slot for whoever streams elsewhere. What an upstream holds is never more than the leader's
line: it follows the leader itself, and whoever is cut off from the leader does not become one.
"""

from __future__ import annotations

from raftha.ha.parting import is_leaving
from raftha.ha.situation import Situation
from raftha.model.cluster import Cluster, Member, MemberRole, MemberState
from raftha.model.ids import MemberName
from raftha.model.store import RaftStatus


def upstream_of(s: Situation, name: MemberName) -> Member | None:
    """The member that `name` is to stream from: the one that its tag `replicatefrom` names while
    that one gets WAL itself, else the leader; None without a leader that has announced itself."""
    cluster, leader = s.cluster, _leader(s.cluster)
    named = _named_by(cluster, name)
    if leader is None or named is None or named.name in (name, leader.name):
        return leader
    if not _serves(s, named) or _leads_back(cluster, named, name):
        return leader
    return named


def own_upstream(s: Situation, leader: Member) -> Member:
    """Whom this standby streams from: the leader too while the other one lacks WAL for it."""
    return leader if s.memory.starved_since is not None else upstream_of(s, s.me) or leader


def streams_elsewhere(s: Situation, member: Member) -> bool:
    """Whether a member is in touch, and streams from another one than the leader."""
    if member.state is not MemberState.STREAMING or not is_in_touch(s.view.raft, member):
        return False
    return upstream_of(s, member.name) is not _leader(s.cluster)


def streams_from_here(s: Situation, member: Member) -> bool:
    """Whether a member in touch is to stream from this node, which is not the leader."""
    if member.tags.replicatefrom != s.me or not is_in_touch(s.view.raft, member):
        return False
    return not _leads_back(s.cluster, s.cluster.members.get(s.me, member), member.name)


def copy_source(s: Situation, leader: Member) -> Member:
    """Whom to copy: a standby tagged `clonefrom` that is on the leader's timeline, the first by
    name; the leader if there is none, if the last try failed, or if an operator wants it."""
    if s.memory.failures > 0 or s.memory.from_leader:
        return leader
    tagged = (m for m in s.other_members if m.tags.clonefrom and m.name != leader.name)
    # A copy of one that follows the archive alone would begin before the slot that was made for it.
    streaming = (m for m in tagged if _serves(s, m) and not m.tags.nostream)
    fit = (m for m in streaming if m.timeline == leader.timeline)
    return next(fit, leader)


def is_in_touch(raft: RaftStatus, member: Member) -> bool:
    """Whether this node has a link to the Raft node of a member."""
    known = (*raft.voters, *raft.joiners)
    return any(node.connected for node in known if node.address == member.raft)


def _leader(cluster: Cluster) -> Member | None:
    return None if cluster.leader is None else cluster.members.get(cluster.leader.name)


def _named_by(cluster: Cluster, name: MemberName) -> Member | None:
    member = cluster.members.get(name)
    named = "" if member is None or member.tags.nostream else member.tags.replicatefrom
    return cluster.members.get(MemberName(named))


def _serves(s: Situation, member: Member) -> bool:
    """It gets WAL, and is here to stay."""
    is_here = member.name == s.me or is_in_touch(s.view.raft, member)
    return is_here and _gets_wal(member) and not is_leaving(s.cluster, member.name)


def _gets_wal(member: Member) -> bool:
    """It streams, or is a standby that is to follow the archive alone."""
    if member.tags.nostream:
        return member.state is MemberState.RUNNING and member.role is MemberRole.STANDBY
    return member.state is MemberState.STREAMING


def _leads_back(cluster: Cluster, start: Member, name: MemberName) -> bool:
    """Whether who follows the tags upwards from `start` comes to `name`."""
    at: Member | None = start
    for _ in cluster.members:
        at = None if at is None else _named_by(cluster, at.name)
        if at is not None and at.name == name:
            return True
    return False
