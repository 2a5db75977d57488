"""Who streams from whom, as a tree. PURE.

A standby stands below whom it says that it streams from, and below the leader where it does not
say. Whoever is neither, such as a member without a server, stands beside the leader, and so does
everybody where no leader is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from raftha.model.report import ClusterReport, MemberReport, ReportedRole

STANDBYS: Final = frozenset(
    (ReportedRole.STANDBY, ReportedRole.SYNC_STANDBY, ReportedRole.QUORUM_STANDBY)
)


class Branch(Struct, frozen=True, kw_only=True):
    """A member, and those that stream from it."""

    member: MemberReport
    standbys: tuple[Branch, ...] = ()


def roots(report: ClusterReport) -> tuple[Branch, ...]:
    """The tops of the tree, the leader first. A witness replicates nothing and is left out."""
    members = [m for m in report.members if m.role is not ReportedRole.WITNESS]
    leader = next((m for m in members if m.name == report.leader), None)
    if leader is None:
        return tuple(Branch(member=member) for member in members)
    others = [member for member in members if member is not leader]
    standbys = {member.name: member for member in others if member.role in STANDBYS}
    above = {name: _above(name, standbys, leader) for name in standbys}
    beside = (Branch(member=member) for member in others if member.role not in STANDBYS)
    return (_branch(leader, members, above), *beside)


def lines(branches: Sequence[Branch], depth: int = 0) -> Iterator[tuple[int, MemberReport]]:
    """Each member with how deep it stands, from top to bottom."""
    for branch in branches:
        yield depth, branch.member
        yield from lines(branch.standbys, depth + 1)


def document(report: ClusterReport, cluster: Mapping[str, Any]) -> dict[str, Any]:
    """The tree made of what `/cluster` answered, which `report` was read from: each member as it
    stands there, with its `standbys`."""
    told = {member["name"]: member for member in cluster["members"]}
    kept = ("scope", "majority", "age_seconds", "answered_by")
    members = [_documented(top, told) for top in roots(report)]
    return {**{key: cluster[key] for key in kept}, "members": members}


def _documented(branch: Branch, told: Mapping[str, Any]) -> dict[str, Any]:
    standbys = [_documented(below, told) for below in branch.standbys]
    nested = {"standbys": standbys} if standbys or branch.member.role not in STANDBYS else {}
    return {**told[branch.member.name], **nested}


def _above(name: str, standbys: Mapping[str, MemberReport], leader: MemberReport) -> str:
    """Whom this standby stands below. Answers of different moments may name a circle: whoever is in
    one stands below the leader."""
    source, passed = standbys[name].upstream, {name}
    at = source
    while at is not None and at in standbys:
        if at in passed:
            return leader.name
        passed.add(at)
        at = standbys[at].upstream
    return source if source is not None and source in standbys else leader.name


def _branch(
    member: MemberReport, members: Sequence[MemberReport], above: Mapping[str, str]
) -> Branch:
    below = (_branch(m, members, above) for m in members if above.get(m.name) == member.name)
    return Branch(member=member, standbys=tuple(below))
