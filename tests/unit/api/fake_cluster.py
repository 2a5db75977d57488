"""The whole cluster as the tests of HTTP and of the CLI see it: three nodes, well or cut off."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from raftha.instants import Seconds
from raftha.model.cluster import HistoryRecord
from raftha.model.ids import Epoch, Lsn, MemberName, SystemId, Timeline
from raftha.model.report import (
    ClusterReport,
    Exposure,
    Level,
    MemberReport,
    Notice,
    ReportedRole,
    VoterReport,
)
from raftha.model.trouble import Trouble

WALL: Final = 1_800_000_000.0
SYSTEM: Final = SystemId("7412345678901234567")

_NOTICES: Final = (
    Notice(
        subject="n3",
        what="replay is 2.4 MB behind the primary",
        remedy="look for a long query on n3 that replay waits for",
    ),
    Notice(
        subject="n3",
        what="this machine was suspended for 2.0 s in the last minute",
        remedy="keep suspend from database machines",
        code=Trouble.SUSPENDED,
        level=Level.WARNING,
    ),
)


def _member(number: int, role: ReportedRole, behind_bytes: int) -> MemberReport:
    primary = role is ReportedRole.PRIMARY
    position = Lsn(0x3000060 - behind_bytes)
    return MemberReport(
        name=f"n{number}",
        address=f"10.0.0.{number}:5432",
        api_url=f"http://10.0.0.{number}:8008",
        role=role,
        state="running" if primary else "streaming",
        timeline=Timeline(2),
        received=None if primary else position,
        replayed=None if primary else position,
        position=position,
        lag_bytes=None if primary else behind_bytes,
        lag_seconds=None if primary else Seconds(behind_bytes / 2**20),
        raft_address=f"10.0.0.{number}:2380",
        raft_role="leader" if primary else "follower",
        tags={} if number < 3 else {"nofailover": True},
        last_seen_seconds=Seconds(0.3),
        is_leader=primary,
    )


def _voter(number: int, behind: int, fsync: float | None) -> VoterReport:
    return VoterReport(
        name=f"n{number}",
        address=f"10.0.0.{number}:2380",
        role="leader" if number == 1 else "follower",
        in_touch=True,
        behind_entries=behind,
        last_contact_seconds=Seconds(0.0 if number == 1 else 0.1),
        fsync_seconds=None if fsync is None else Seconds(fsync),
    )


def cluster_report() -> ClusterReport:
    """Three nodes: n1 leads, n2 is synchronous, n3 lags and may not lead."""
    return ClusterReport(
        scope="main",
        answered_by=MemberName("n1"),
        majority=True,
        age_seconds=Seconds(0.2),
        system_id=SYSTEM,
        postgres_version="15.18",
        leader=MemberName("n1"),
        lease_remaining_seconds=Seconds(3.4),
        ttl=Seconds(5.0),
        synchronous_mode="on",
        sync_standbys=("n2",),
        rpo=Exposure(automatic=True, bytes=0, seconds=Seconds(0.0)),
        raft_leader="n1",
        raft_term=4,
        quorum=2,
        voters=3,
        voters_connected=3,
        members=(
            _member(1, ReportedRole.PRIMARY, 0),
            _member(2, ReportedRole.SYNC_STANDBY, 0),
            _member(3, ReportedRole.STANDBY, 2500000),
        ),
        history=(
            HistoryRecord(
                timeline=Timeline(2),
                parent=Timeline(1),
                switch=Lsn(0x2000000),
                epoch=Epoch(1, 17),
                leader=MemberName("n1"),
                reason="the lease of n2 ended",
                wall=WALL,
            ),
        ),
        problems=_NOTICES,
        raft_commit=120,
        group=(_voter(1, 0, 0.0031), _voter(2, 0, 0.0124), _voter(3, 17, None)),
    )


def without_majority() -> ClusterReport:
    """What n1 still knows after it lost both others."""
    healthy = cluster_report()
    return replace(
        healthy,
        majority=False,
        rpo=None,
        age_seconds=Seconds(42.0),
        leader=None,
        lease_remaining_seconds=None,
        raft_leader=None,
        voters_connected=1,
        members=tuple(
            member
            if member.name == "n1"
            else replace(
                member,
                state="not answering",
                raft_role="unknown",
                received=None,
                replayed=None,
                lag_bytes=None,
                lag_seconds=None,
                last_seen_seconds=Seconds(42.0),
            )
            for member in healthy.members
        ),
        group=tuple(
            replace(voter, role="follower")
            if voter.name == "n1"
            else replace(
                voter,
                role="-",
                in_touch=False,
                behind_entries=None,
                last_contact_seconds=Seconds(42.0) if voter.name == "n2" else None,
                fsync_seconds=None,
            )
            for voter in healthy.group
        ),
        problems=(
            Notice(
                subject="raft",
                what="1 of 3 voters is in touch, 2 are needed",
                remedy="start raftha on n2 or n3, or mend the network between them",
                code=Trouble.NO_MAJORITY,
            ),
        ),
    )


def with_url(report: ClusterReport, url: str) -> ClusterReport:
    """The report with every member's API at one address."""
    return replace(report, members=tuple(replace(m, api_url=url) for m in report.members))
