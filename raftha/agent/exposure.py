"""What a failover at this moment would lose: the recovery point that status shows. PURE."""

from __future__ import annotations

from collections.abc import Mapping

from raftha.ha.situation import Situation
from raftha.instants import Seconds
from raftha.model.cluster import Cluster
from raftha.model.ids import Lsn, MemberName
from raftha.model.report import Exposure, PeerReport
from raftha.model.settings import SynchronousMode
from raftha.model.view import PeerAnswer

_NOTHING = Seconds(0.0)


def exposure(cluster: Cluster, answers: Mapping[MemberName, PeerAnswer]) -> Exposure | None:
    """None without a leader: what there is to lose is lost already, or is not."""
    if cluster.leader is None:
        return None
    is_off = cluster.config.synchronous_mode is SynchronousMode.OFF
    # While the primary may run without a deadline nobody is promoted in its place, pause or not.
    is_free = not cluster.paused and not cluster.disarmed
    if not is_off and cluster.sync is not None and cluster.sync.standbys:
        return Exposure(automatic=is_free, bytes=0, seconds=_NOTHING)
    head = _told(cluster.leader.name, answers)
    best = _best(cluster, head, answers)
    if head is None or head.position is None or best is None or best.position is None:
        return Exposure(automatic=is_off and is_free)
    lost = best.position.behind(head.position)
    seconds = best.replay_lag_seconds if lost else _NOTHING
    return Exposure(automatic=is_off and is_free, bytes=lost, seconds=seconds, standby=best.name)


def exposed_bytes(s: Situation) -> int | None:
    """What the leader here knows of it by its own streams, without asking anybody: for a metric.
    None elsewhere, and where no standby that may lead streams from here."""
    server = s.server
    if s.lease is None or server is None or server.written is None:
        return None
    sync = s.cluster.sync
    if s.config.synchronous_mode is not SynchronousMode.OFF and sync is not None and sync.standbys:
        return 0
    able = {m.name.casefold() for m in s.other_members if m.tags.may_lead}
    held = [
        row.flush
        for row in server.attached
        if row.flush is not None and row.application_name.casefold() in able
    ]
    return max(held).behind(server.written) if held else None


def _told(name: MemberName, answers: Mapping[MemberName, PeerAnswer]) -> PeerReport | None:
    answer = answers.get(name)
    return None if answer is None else answer.report


def _best(
    cluster: Cluster, head: PeerReport | None, answers: Mapping[MemberName, PeerAnswer]
) -> PeerReport | None:
    """The standby that may lead and holds the most of what the leader writes."""
    best: tuple[Lsn, PeerReport] | None = None
    for name, member in cluster.members.items():
        report = _told(name, answers)
        if report is None or head is None or name == head.name or not member.tags.may_lead:
            continue
        position = report.position
        if position is None or report.timeline != head.timeline:
            continue
        if best is None or position > best[0]:
            best = (position, report)
    return None if best is None else best[1]
