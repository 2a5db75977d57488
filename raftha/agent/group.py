"""The lines of the table of voters, from this node's view of the group and the members' answers.
PURE.

How far a voter is behind is known to the raft leader alone. Where that is another node its answer
tells it; where it does not answer, each is measured by its own commit index.
"""

from __future__ import annotations

from collections.abc import Mapping

from raftha.instants import Instant, Seconds, longest
from raftha.model.cluster import Cluster
from raftha.model.ids import MemberName
from raftha.model.membership import MemberVerb, MemberWish, WishState
from raftha.model.report import (
    MemberChange,
    OperationState,
    PeerGroup,
    Standing,
    VoterReport,
)
from raftha.model.store import RaftRole, RaftStatus, VoterStatus
from raftha.model.view import PeerAnswer


def peer_group(raft: RaftStatus) -> PeerGroup:
    """What this node tells another one of itself."""
    return PeerGroup(
        commit_index=raft.commit_index,
        fsync_seconds=raft.fsync.p99,
        matches={v.address: v.match_index for v in raft.voters if v.match_index is not None},
    )


def voter_reports(
    raft: RaftStatus, cluster: Cluster, answers: Mapping[MemberName, PeerAnswer], now: Instant
) -> tuple[VoterReport, ...]:
    """A line for each voter, by name; those never met come last, by address."""
    told = _told(raft, cluster, answers)
    behind = _behind(raft, told)
    lines = [
        VoterReport(
            name=voter.name or voter.address,
            address=voter.address,
            role=raft_role(raft, voter),
            in_touch=voter.is_self or voter.connected,
            behind_entries=behind.get(voter.address),
            last_contact_seconds=last_contact(voter, now),
            fsync_seconds=told[voter.address].fsync_seconds if voter.address in told else None,
            incarnation=voter.incarnation,
            kind=_kind(voter),
            standing=Standing.VOTER if voter.bound else Standing.UNMET,
        )
        for voter in sorted(raft.voters, key=lambda v: (v.name is None, v.name or v.address))
    ]
    return tuple(lines)


def without_vote(raft: RaftStatus, cluster: Cluster, now: Instant) -> tuple[VoterReport, ...]:
    """A line for each node without a vote: admitted, a newcomer, or removed and not back since."""
    standings = {seat.address: Standing.ADMITTED for seat in raft.expected}
    nodes = {node.address: node for node in (*raft.expected, *raft.joiners)}
    lines = [
        VoterReport(
            name=node.name or node.address,
            address=node.address,
            role="-",
            in_touch=node.is_self or node.connected,
            behind_entries=_lacking(raft, node),
            last_contact_seconds=last_contact(node, now),
            fsync_seconds=None,
            incarnation=node.incarnation,
            kind=_kind(node),
            standing=standings.get(node.address, Standing.NEWCOMER),
        )
        for node in nodes.values()
    ]
    present = {line.name for line in lines} | {voter.name for voter in raft.voters}
    lines += [
        _removed(wish)
        for wish in cluster.wishes.values()
        if wish.verb is MemberVerb.REMOVE
        and wish.state in (WishState.UNSEATED, WishState.DONE)
        and wish.name not in present
    ]
    return tuple(sorted(lines, key=lambda line: line.name))


def change_of(wish: MemberWish) -> MemberChange:
    """A wish as it is told."""
    states = {
        WishState.ASKED: OperationState.RUNNING,
        WishState.UNSEATED: OperationState.RUNNING,
        WishState.DONE: OperationState.DONE,
        WishState.REFUSED: OperationState.REFUSED,
    }
    return MemberChange(
        id=wish.id,
        verb=wish.verb,
        name=wish.name,
        address=wish.address,
        state=states[wish.state],
        message=wish.message or f"{wish.verb} {wish.name}: asked for",
    )


def _removed(wish: MemberWish) -> VoterReport:
    return VoterReport(
        name=wish.name,
        address=wish.address,
        role="-",
        in_touch=False,
        behind_entries=None,
        last_contact_seconds=None,
        fsync_seconds=None,
        kind="-",
        standing=Standing.REMOVED,
    )


def _kind(node: VoterStatus) -> str:
    return "unknown" if node.witness is None else ("witness" if node.witness else "data")


def _lacking(raft: RaftStatus, node: VoterStatus) -> int | None:
    """Committed entries that a node without a vote lacks, where this node leads or is it."""
    known = raft.applied_index if node.is_self else node.match_index
    return None if known is None else max(0, raft.commit_index - known)


def raft_role(raft: RaftStatus, voter: VoterStatus | None) -> str:
    """What a voter is in the group; a dash if it is not in touch or no voter at all."""
    if voter is None or not (voter.connected or voter.is_self):
        return "-"
    return RaftRole.LEADER if raft.leader == voter.address else RaftRole.FOLLOWER


def last_contact(voter: VoterStatus | None, now: Instant) -> Seconds | None:
    """How long ago this node heard a voter; 0 for itself, None if never."""
    if voter is None:
        return None
    if voter.is_self:
        return Seconds(0.0)
    return None if voter.last_contact is None else longest(voter.last_contact, now)


def _told(
    raft: RaftStatus, cluster: Cluster, answers: Mapping[MemberName, PeerAnswer]
) -> dict[str, PeerGroup]:
    """What each voter says of itself, by address."""
    told = {voter.address: peer_group(raft) for voter in raft.voters if voter.is_self}
    addresses = {member.name: member.raft for member in cluster.members.values()}
    addresses |= {MemberName(v.name): v.address for v in raft.voters if v.witness and v.name}
    for name, answer in answers.items():
        address, report = addresses.get(name), answer.report
        if address is not None and report is not None and report.group is not None:
            told.setdefault(address, report.group)
    return told


def _behind(raft: RaftStatus, told: Mapping[str, PeerGroup]) -> dict[str, int]:
    """Committed entries that each voter lacks, by address."""
    head = max([raft.commit_index, *(group.commit_index for group in told.values())])
    behind = {address: head - group.commit_index for address, group in told.items()}
    leader = raft.leader
    if leader is not None and leader in told:
        commit = told[leader].commit_index
        matches = told[leader].matches
        behind |= {address: max(0, commit - match) for address, match in matches.items()}
    if leader is not None:
        behind[leader] = 0
    return behind
