"""Whose WAL position is the last word in a race: who has cut the old stream before. PURE.

A primary that is cut off may go on for a while, and with it the streams to its standbys. A standby
that told its position and received more afterwards would let that primary acknowledge commits which
the successor, chosen by the positions told, does not hold. So a standby first cuts its stream for
good, then reads its position, and only such positions enter the race (R17).

What is promised is not to follow any leader older than the floor: the revision at which the store
had none. It needs no file. The server's own configuration has no upstream until this node follows
again, and it follows what the store names: a store in which the vacancy was seen never shows the
leader before it again, and an agent that was just started waits until it has caught up.
"""

from __future__ import annotations

from raftha.ha.situation import Situation
from raftha.instants import Instant, longest
from raftha.model.cluster import Cluster, MemberRole
from raftha.model.ids import Epoch
from raftha.model.postgres import ServerStatus
from raftha.model.report import PeerReport
from raftha.model.view import StreamCut


def floor_now(cluster: Cluster) -> Epoch:
    """Below this are all leaders that there were, while there is none."""
    return Epoch(cluster.generation, cluster.revision)


def covers(cluster: Cluster, floor: Epoch) -> bool:
    """No server that was ever promoted in this cluster may be followed under this floor."""
    return all(record.epoch < floor for record in cluster.history)


def pledged(
    cut: StreamCut | None, process: str, server: ServerStatus | None, asked: Instant | None
) -> Epoch | None:
    """The floor under which the position of `server`, of that process and asked for at this
    instant, is the last word; None if it is not."""
    if cut is None or server is None or asked is None:
        return None
    if cut.process != process or longest(cut.at, asked) < 0:
        return None
    return cut.floor if server.receiver is None else None


def own(s: Situation) -> Epoch | None:
    """The floor of this node's position as it is known in this situation, if it counts."""
    floor = pledged(s.view.cut, s.view.guardian.process, s.server, s.view.server_seen)
    return floor if floor is not None and covers(s.cluster, floor) else None


def counts(cluster: Cluster, report: PeerReport) -> bool:
    """The position that a member told is its last word about the WAL of all leaders so far."""
    return report.pledged is not None and covers(cluster, report.pledged)


def objection(cluster: Cluster, report: PeerReport) -> str | None:
    """Why the position that a standby told does not count; None if it does, or if it told none."""
    if report.role is not MemberRole.STANDBY or report.position is None:
        return None
    return None if counts(cluster, report) else "it has not cut its old stream yet"
