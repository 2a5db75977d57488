"""Who streams from whom, as a tree. PURE.

Every standby streams from the leader. Whoever is neither, such as a member without a server, stands
beside the leader, and so does everybody where no leader is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from raftha.model.report import ClusterReport, MemberReport, ReportedRole

STANDBYS: Final = frozenset(
    (ReportedRole.STANDBY, ReportedRole.SYNC_STANDBY, ReportedRole.QUORUM_STANDBY)
)


class Root(Struct, frozen=True, kw_only=True):
    """A member that streams from nobody, and those that stream from it."""

    member: MemberReport
    standbys: tuple[MemberReport, ...] = ()


def roots(report: ClusterReport) -> tuple[Root, ...]:
    """The tops of the tree, the leader first. A witness replicates nothing and is left out."""
    members = [m for m in report.members if m.role is not ReportedRole.WITNESS]
    leader = next((m for m in members if m.name == report.leader), None)
    if leader is None:
        return tuple(Root(member=member) for member in members)
    others = [member for member in members if member is not leader]
    below = tuple(member for member in others if member.role in STANDBYS)
    beside = [Root(member=member) for member in others if member.role not in STANDBYS]
    return (Root(member=leader, standbys=below), *beside)


def document(report: ClusterReport, cluster: Mapping[str, Any]) -> dict[str, Any]:
    """The tree made of what `/cluster` answered, which `report` was read from: each member as it
    stands there, with its `standbys`."""
    told = {member["name"]: member for member in cluster["members"]}
    kept = ("scope", "majority", "age_seconds", "answered_by")
    return {
        **{key: cluster[key] for key in kept},
        "members": [
            {**told[top.member.name], "standbys": [told[m.name] for m in top.standbys]}
            for top in roots(report)
        ],
    }
