"""Who may take over, and why not: the same judgement for the race and for the screen. PURE."""

from __future__ import annotations

from msgspec.structs import replace

from raftha.ha.parting import is_given_up
from raftha.ha.situation import Situation
from raftha.ha.telling import last_told
from raftha.model.cluster import Cluster, HistoryRecord
from raftha.model.ids import Lsn, Timeline
from raftha.model.postgres import ReplayPause, ServerStatus, TimelineSwitch
from raftha.model.report import PeerReport


def obstacle(s: Situation) -> str | None:
    """Why this node must not be promoted now; None if nothing stands against it."""
    return _incapable(s) or lacking(s)


def lacking(s: Situation) -> str | None:
    """Why this node, which could be promoted otherwise, may lack acknowledged commits; None if it
    holds them, and if an operator accepts the loss."""
    server = s.server
    if server is None or _incapable(s) is not None or loss_is_accepted(s):
        return None
    return _sync_obstacle(s) or _copy_obstacle(s, server) or _lag_obstacle(s, server)


def loss_is_accepted(s: Situation) -> bool:
    """An operator asked for this node, and said that commits which it lacks may be lost."""
    return s.request is not None and s.request.may_lose and s.request.candidate == s.me


def floor_of(s: Situation) -> Lsn | None:
    """Up to where whoever leads next holds the WAL, and all who lead after it; None if that is not
    known."""
    sync = s.cluster.sync
    return None if sync is None or loss_is_accepted(s) else sync.floor


def _incapable(s: Situation) -> str | None:
    server = s.server
    forbidden = s.view.me.tags.against_leading
    if forbidden is not None:
        return forbidden
    if s.view.stopping:
        return "it is being stopped"
    if not s.view.raft.majority:
        return "no majority of the voters is in touch with it"
    if is_given_up(s.cluster, s.me):
        return "an operator removes it from the cluster"
    if not any(voter.is_self for voter in s.view.raft.voters):
        return "it has no vote in the Raft group: raftha member add gives it one"
    request = s.request
    if (
        request is not None
        and request.leader == s.me
        and s.since(s.memory.lost_since) < s.config.ttl
    ):
        return "it has just handed the leader key over"
    refused = s.memory.pre_promote_refused
    if refused is not None and s.since(refused) < s.config.ttl:
        return "pre_promote has forbidden it less than a ttl ago"
    if s.backing_off() and s.other_members:
        return f"it waits after a failure: {s.memory.failed}"
    if server is None:
        return "PostgreSQL is not running"
    if server.replay_pause is not ReplayPause.NOT_PAUSED:
        return f"replay is {server.replay_pause}"
    if server.position is None:
        return "its WAL position is unknown"
    return _line_obstacle(s, server)


def _sync_obstacle(s: Situation) -> str | None:
    sync = s.cluster.sync
    if sync is None or s.me == sync.leader or s.me in sync.standbys:
        return None
    allowed = " and ".join((sync.leader, *sync.standbys))
    return f"every acknowledged commit is provably held by {allowed} alone"


def _copy_obstacle(s: Situation, server: ServerStatus) -> str | None:
    """The store names it, for what its data directory held once."""
    floor, position = floor_of(s), server.position
    if s.cluster.sync is not None and s.view.directory.from_backup:
        return (
            "its data directory was made by a program, maybe from an older backup, and has "
            "followed no leader since"
        )
    if floor is None or position is None or position >= floor:
        return None
    return (
        f"its WAL ends at {position} and went to {floor} before: its data directory was put back "
        "from an older copy"
    )


def _line_obstacle(s: Situation, server: ServerStatus) -> str | None:
    position = server.position
    if position is not None and diverged(s, server.timeline, position):
        return f"its timeline {server.timeline} left the cluster's line"
    return None


def diverged(s: Situation, timeline: Timeline, position: Lsn) -> bool:
    """WAL on `timeline` up to `position` is not a beginning of what the cluster's line holds."""
    target = line(s.cluster)
    if target is None or timeline == target:
        return False
    history = s.cluster.history
    switch = switch_point(history, target, timeline)
    if switch is not None:
        return position > switch
    # A primary that died before it could publish its timeline is ahead of the line, not off it.
    is_ahead_of_line = switch_point(history, timeline, target) is not None
    return s.cluster.leader is not None or not is_ahead_of_line


def line(cluster: Cluster) -> Timeline | None:
    """The timeline that the cluster's line ends in: the one that the leader was promoted to, or is
    about to be; without a leader the one last written."""
    leader = cluster.leader
    if leader is not None:
        for record in reversed(cluster.history):
            if record.epoch == leader.epoch:
                return record.timeline
    return cluster.timeline


def switch_point(
    history: tuple[HistoryRecord, ...], target: Timeline, timeline: Timeline
) -> Lsn | None:
    """Where the line that ends in `target` left `timeline`; None if it never was on it."""
    by_number = {record.timeline: record for record in history}
    current = target
    for _ in range(len(history)):
        record = by_number.get(current)
        if record is None or record.parent is None:
            return None
        if record.parent == timeline:
            return record.switch
        current = record.parent
    return None


def corrected(
    history: tuple[HistoryRecord, ...], timeline: Timeline, forks: tuple[TimelineSwitch, ...]
) -> tuple[HistoryRecord, ...]:
    """The history with the switches of the line to `timeline` as PostgreSQL's file tells them."""
    switches = {fork.timeline: fork.switch for fork in forks}
    by_number = {record.timeline: record for record in history}
    changed: dict[Timeline, HistoryRecord] = {}
    record = by_number.get(timeline)
    for _ in range(len(history)):
        if record is None or record.parent is None:
            break
        if record.parent in switches:
            changed[record.timeline] = replace(record, switch=switches[record.parent])
        record = by_number.get(record.parent)
    return tuple(changed.get(known.timeline, known) for known in history)


def _lag_obstacle(s: Situation, server: ServerStatus) -> str | None:
    """Without a synchronous set, the bound is what the last leader said of itself, and what it held
    when it took over: one that was cut off from then on has said nothing (S7)."""
    position = server.position
    if s.cluster.sync is not None or position is None:
        return None
    if s.keys.position in s.cluster.unreadable:
        return "how far the last leader had written cannot be read from the store"
    ends = {
        "what the last leader told": _told_end(s, server),
        "where the last leader took over": _taken_over_at(s, server),
    }
    for what, end in ends.items():
        lag = 0 if end is None else position.behind(end)
        if lag > s.config.maximum_lag_on_failover:
            return f"it is {lag} bytes behind {what}, more than maximum_lag_on_failover allows"
    return None


def _told_end(s: Situation, server: ServerStatus) -> Lsn | None:
    """Who told it holds all of it, but for what a power cut took before it was acknowledged."""
    told, known = s.cluster.told, last_told(s)
    if known is None:
        return None
    timeline, end = known
    if server.timeline > timeline:
        return None
    is_own = told is not None and (told.leader, told.timeline) == (s.me, timeline)
    return None if is_own else end


def _taken_over_at(s: Situation, server: ServerStatus) -> Lsn | None:
    """Whoever is on its timeline has come past that."""
    record = s.cluster.history[-1] if s.cluster.history else None
    if record is None or not record.is_promotion or record.leader == s.me:
        return None
    return record.switch if server.timeline < record.timeline else None


def is_ahead(peer: PeerReport, timeline: Timeline, position: Lsn) -> bool:
    """A peer that may lead holds more than this."""
    if not peer.wants_lead or peer.obstacle is not None:
        return False
    if peer.timeline is None or peer.position is None:
        return False
    return (peer.timeline, peer.position) > (timeline, position)
