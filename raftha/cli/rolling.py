"""In which order members are restarted so that the cluster stays writable. PURE.

It looks at the cluster as it is before each step, because anybody may have failed over meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec import Struct

from raftha.model.ids import Lsn
from raftha.model.postgres import SIZES, PendingRestart
from raftha.model.report import IN_ARCHIVE_RECOVERY, ClusterReport, MemberReport, ReportedRole

_STANDBYS: Final = (
    ReportedRole.SYNC_STANDBY,
    ReportedRole.QUORUM_STANDBY,
    ReportedRole.STANDBY,
)

_FOLLOWS: Final = ("streaming", IN_ARCHIVE_RECOVERY)


class Restart(Struct, frozen=True):
    """Restart this member's server where it is."""

    name: str


class HandOver(Struct, frozen=True):
    """Have the leader hand over, which restarts its server as a standby."""

    leader: str
    heir: str


Step = Restart | HandOver


def next_step(report: ClusterReport, todo: Collection[str], *, hands_over: bool) -> Step | None:
    """What to do now for the members that are left; None if nothing is.

    Standbys first; a leader last, by a hand-over if that is wished and somebody can take over. But
    a size that is lowered is lowered on the leader first: a standby cannot have less.
    """
    members = [member for member in report.members if member.name in todo]
    leader = next((member for member in members if member.is_leader), None)
    if leader is not None and any(map(is_lowered, leader.pending)):
        return Restart(leader.name)
    standbys = [member.name for member in members if not member.is_leader]
    if standbys:
        return Restart(min(standbys))
    if leader is None:
        return None
    heir = heir_of(report) if hands_over else None
    return Restart(leader.name) if heir is None else HandOver(leader.name, heir)


def is_lowered(pending: PendingRestart) -> bool:
    """A size of shared memory that gets smaller."""
    return pending.name in SIZES and int(pending.wanted) < int(pending.running)


def heir_of(report: ClusterReport) -> str | None:
    """Who would take over: a synchronous standby before others."""
    ready = [
        (_STANDBYS.index(member.role), member.name)
        for member in report.members
        if member.role in _STANDBYS and is_back(report, member.name) and _may_lead(member)
    ]
    return min(ready)[1] if ready else None


def is_back(report: ClusterReport, name: str) -> bool:
    """The member serves again: the next one may go. Where commits wait for standbys one is there
    for them, if there are any."""
    member = next((m for m in report.members if m.name == name), None)
    if member is None or not member.answers or report.leader is None:
        return False
    if member.state not in (("running",) if member.is_leader else _FOLLOWS):
        return False
    others = any(m.answers and m.role in _STANDBYS for m in report.members)
    return report.synchronous_mode == "off" or not others or bool(report.sync_standbys)


def behind(report: ClusterReport, names: Collection[str], position: Lsn) -> tuple[str, ...]:
    """The standbys that have not replayed so far. One that has not replayed the start of a leader
    with a lower size still has to have the higher one, and would be restarted for nothing. Nobody
    waits for one that follows an archive alone: it may get that WAL in hours."""
    return tuple(
        member.name
        for member in report.members
        if member.name in names
        and not (member.is_leader or member.tags.get("nostream"))
        and (member.replayed is None or member.replayed < position)
    )


def _may_lead(member: MemberReport) -> bool:
    priority = member.tags.get("failover_priority", 1)
    is_barred = member.tags.get("nofailover") or member.tags.get("nostream")
    return not is_barred and priority != 0
