"""Puts together what the outside is told, from views and answers. PURE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import asdict

from raftha.agent.exposure import exposed_bytes, exposure
from raftha.agent.group import (
    change_of,
    last_contact,
    peer_group,
    raft_role,
    voter_reports,
    without_vote,
)
from raftha.ha.announce import role, state
from raftha.ha.candidates import obstacle
from raftha.ha.explain import problems
from raftha.ha.holding import held_rows
from raftha.ha.pledge import pledged
from raftha.ha.refusals import may_lack
from raftha.ha.serving import takes_writes
from raftha.ha.situation import Situation
from raftha.ha.sizes import pending
from raftha.ha.table import Decision
from raftha.instants import Instant, Seconds, longest, remaining
from raftha.model.cluster import Cluster, Leader, Member, MemberRole, MemberState
from raftha.model.ids import Lsn, MemberName, SystemId
from raftha.model.postgres import ControlState, HeldRows, ServerStatus, version_text
from raftha.model.report import (
    IN_ARCHIVE_RECOVERY,
    ClusterReport,
    MemberReport,
    NodeReport,
    Notice,
    PeerReport,
    ReportedRole,
)
from raftha.model.settings import SynchronousMode, Tags
from raftha.model.store import RaftStatus, VoterStatus
from raftha.model.view import GuardianView, PeerAnswer


def node_report(
    s: Situation,
    decision: Decision,
    scope: str,
    more: tuple[Notice, ...] = (),
    agent_pending: tuple[str, ...] = (),
) -> NodeReport:
    """This node at this tick. `more` are notices that do not follow from the situation."""
    view, lease, server = s.view, s.lease, s.server
    cluster = s.cluster
    seen = s.memory.leader_seen
    return NodeReport(
        taken=view.now,
        scope=scope,
        name=view.me.name,
        agent_version=view.me.agent_version,
        witness=False,
        state=state(s),
        role=role(s),
        ttl=s.config.ttl,
        loop_wait=s.config.loop_wait,
        raft=view.raft,
        holds_leader_key=lease is not None,
        valid_until=None if lease is None else lease.valid_until,
        routed=takes_writes(s),
        is_sync_standby=_role_in_sync(cluster, s.me) is ReportedRole.SYNC_STANDBY,
        is_quorum_standby=_role_in_sync(cluster, s.me) is ReportedRole.QUORUM_STANDBY,
        server=server,
        server_answered=view.server_seen,
        system_id=system_id(cluster),
        leader=None if cluster.leader is None else cluster.leader.name,
        leader_position=None if seen is None else seen.position,
        store_seen=view.now if view.raft.majority else None,
        maximum_lag_on_failover=s.config.maximum_lag_on_failover,
        tags=view.me.tags,
        paused=cluster.paused,
        pending=pending(s),
        agent_pending=agent_pending,
        scheduled_restart=cluster.scheduled_restarts.get(s.me),
        rpo_bytes=exposed_bytes(s),
        rule=decision.rule,
        reason=decision.reason,
        problems=(*problems(s), *more),
    )


def peer_report(
    s: Situation,
    node: NodeReport,
    guardian: GuardianView,
    server: ServerStatus | None,
    asked: Instant | None,
) -> PeerReport:
    """This member measured now: the guardian was asked a moment ago, and the server `asked`."""
    control = s.view.directory.control
    stopped_at = None
    if not guardian.running and control is not None and control.state is ControlState.SHUT_DOWN:
        stopped_at = control.checkpoint
    receiver = None if server is None else server.receiver
    return PeerReport(
        name=s.me,
        system_id=server.system_id if server else (control.system_id if control else None),
        state=node.state,
        role=node.role,
        primary_alive=guardian.running and guardian.primary,
        timeline=None if server is None else server.timeline,
        position=None if server is None else server.position,
        received=None if server is None else server.received,
        replayed=None if server is None else server.replayed,
        replay_lag_seconds=None if server is None else server.replay_lag_seconds,
        pledged=pledged(s.view.cut, guardian.process, server, asked),
        stopped_at=stopped_at,
        streaming_from=None if receiver is None else f"{receiver.host}:{receiver.port}",
        obstacle=obstacle(s),
        lacking=may_lack(s),
        from_backup=s.view.directory.from_backup,
        wants_lead=s.view.me.tags.may_lead,
        agent_version=s.view.me.agent_version,
        rule=node.rule,
        reason=node.reason,
        group=peer_group(s.view.raft),
        paused=guardian.disarmed or (s.cluster.paused and not guardian.primary),
        pending=node.pending,
        agent_pending=node.agent_pending,
        held=held_rows(server),
        notices=tuple(notice for notice in node.problems if notice.subject == s.me),
    )


def system_id(cluster: Cluster) -> SystemId | None:
    return None if cluster.initialize is None else cluster.initialize.system_id


def _newest(cluster: Cluster) -> str | None:
    """The newest release of PostgreSQL that a member has announced."""
    versions = [m.postgres_version for m in cluster.members.values() if m.postgres_version]
    return version_text(max(versions)) if versions else None


def cluster_report(
    *,
    scope: str,
    me: MemberName,
    now: Instant,
    cluster: Cluster,
    raft: RaftStatus,
    answers: Mapping[MemberName, PeerAnswer],
    seen: Instant | None,
    notices: Sequence[Notice],
    written: Lsn | None = None,
) -> ClusterReport:
    """The whole cluster as this node can tell it; it heard that the last leader had `written`."""
    leader = cluster.leader
    return ClusterReport(
        scope=scope,
        answered_by=me,
        majority=raft.majority,
        age_seconds=Seconds(0.0) if raft.majority or seen is None else longest(seen, now),
        system_id=system_id(cluster),
        postgres_version=_newest(cluster),
        leader=None if leader is None else leader.name,
        lease_remaining_seconds=_lease_left(leader, seen, now),
        ttl=cluster.config.ttl,
        synchronous_mode=cluster.config.synchronous_mode,
        sync_standbys=() if cluster.sync is None else tuple(cluster.sync.standbys),
        raft_leader=_voter_name(raft, raft.leader),
        raft_term=raft.term,
        quorum=raft.quorum,
        voters=len(raft.voters),
        voters_connected=raft.connected,
        members=_members(cluster, answers, raft, now),
        history=cluster.history,
        request=_request(cluster),
        problems=tuple(dict.fromkeys((*notices, *_of_members(answers)))),
        raft_commit=raft.commit_index,
        held=_held(leader, answers),
        group=voter_reports(raft, cluster, answers, now),
        without_vote=without_vote(raft, cluster, now),
        changes=tuple(change_of(wish) for _, wish in sorted(cluster.wishes.items())),
        sync_quorum=0 if cluster.sync is None else cluster.sync.quorum,
        synchronous_mode_strict=cluster.config.synchronous_mode_strict,
        rpo=exposure(cluster, answers) if raft.majority and cluster.halt is None else None,
        paused=cluster.paused,
        disarmed=tuple(sorted(cluster.disarmed)),
        last_written=_last_written(cluster, written),
        scheduled_switchover=cluster.scheduled_switchover,
        scheduled_restarts=tuple(cluster.scheduled_restarts.values()),
        stopped_by=None if cluster.halt is None else cluster.halt.by,
    )


def _lease_left(leader: Leader | None, seen: Instant | None, now: Instant) -> Seconds | None:
    if leader is None or seen is None:
        return None
    return Seconds(max(0.0, remaining(seen.plus(leader.lease.ttl), now)))


def _last_written(cluster: Cluster, heard: Lsn | None) -> Lsn | None:
    if cluster.leader is not None:
        return None
    told = None if cluster.told is None else cluster.told.position
    return max(filter(None, (told, heard)), default=None)


def _held(leader: Leader | None, answers: Mapping[MemberName, PeerAnswer]) -> tuple[HeldRows, ...]:
    answer = None if leader is None else answers.get(leader.name)
    return () if answer is None or answer.report is None else answer.report.held


def _of_members(answers: Mapping[MemberName, PeerAnswer]) -> Iterator[Notice]:
    """What each member that answered says of itself."""
    for _, answer in sorted(answers.items()):
        if answer.report is not None:
            yield from answer.report.notices


def _request(cluster: Cluster) -> Mapping[str, str] | None:
    request = cluster.request
    if request is None:
        return None
    return {
        "kind": request.kind,
        "leader": request.leader or "",
        "candidate": request.candidate or "",
    }


def _ordered(cluster: Cluster) -> list[Member]:
    return [cluster.members[name] for name in sorted(cluster.members)]


def _head(cluster: Cluster, answers: Mapping[MemberName, PeerAnswer]) -> Lsn | None:
    """Where the leader writes, by its own answer."""
    leader = cluster.leader
    answer = answers.get(leader.name) if leader else None
    return answer.report.position if answer and answer.report else None


def _members(
    cluster: Cluster, answers: Mapping[MemberName, PeerAnswer], raft: RaftStatus, now: Instant
) -> tuple[MemberReport, ...]:
    """The members by name, then the witnesses."""
    head = _head(cluster, answers)
    members = (_member(m, cluster, answers, raft, head, now) for m in _ordered(cluster))
    return (*members, *(_witness(v, answers, raft, now) for v in raft.voters if v.witness))


def _member(
    member: Member,
    cluster: Cluster,
    answers: Mapping[MemberName, PeerAnswer],
    raft: RaftStatus,
    head: Lsn | None,
    now: Instant,
) -> MemberReport:
    answer = answers.get(member.name)
    report = None if answer is None else answer.report
    is_leader = cluster.leader is not None and cluster.leader.name == member.name
    voter = next((v for v in raft.voters if v.address == member.raft), None)
    position = None if report is None else report.position
    lag = None
    if not is_leader and head is not None and position is not None:
        lag = position.behind(head)
    return MemberReport(
        name=member.name,
        address=str(member.postgres),
        api_url=member.api_url,
        role=_role(member, report, cluster, is_leader),
        state=_state_word(member, report),
        timeline=report.timeline if report else member.timeline,
        received=position,  # PostgreSQL's own word lags behind after a restart, until WAL comes
        replayed=None if report is None else (report.replayed or position),
        position=position,
        lag_bytes=lag,
        lag_seconds=None if report is None or is_leader else report.replay_lag_seconds,
        raft_address=member.raft,
        raft_role=raft_role(raft, voter),
        tags=tag_words(member.tags),
        last_seen_seconds=last_contact(voter, now),
        is_leader=is_leader,
        note=_note(report, answer),
        answers=report is not None,
        paused=report is not None and report.paused,
        pending=() if report is None else report.pending,
        agent_pending=() if report is None else report.agent_pending,
        upstream=None if report is None else _upstream(report, cluster),
        proxy_url=member.proxy_url,
    )


def _state_word(member: Member, report: PeerReport | None) -> str:
    """What its PostgreSQL does, in Patroni's words: a standby that is to follow the archive alone
    does more than run."""
    if report is None:
        return "no answer"
    is_standby = (report.role, report.state) == (MemberRole.STANDBY, MemberState.RUNNING)
    if is_standby and member.tags.nostream and report.streaming_from is None:
        return IN_ARCHIVE_RECOVERY
    return report.state


def _upstream(report: PeerReport, cluster: Cluster) -> MemberName | None:
    """Whose address its receiver is connected to."""
    for name, member in cluster.members.items():
        if report.streaming_from == f"{member.postgres.host}:{member.postgres.port}":
            return name
    return None


def _note(report: PeerReport | None, answer: PeerAnswer | None) -> str:
    if report is None:
        return "" if answer is None else answer.problem
    return report.reason


def _role(
    member: Member, report: PeerReport | None, cluster: Cluster, is_leader: bool
) -> ReportedRole:
    told = member.role if report is None else report.role
    if told == "primary":
        return ReportedRole.PRIMARY if is_leader or report is not None else ReportedRole.NONE
    if told == "none":
        return ReportedRole.NONE
    return _role_in_sync(cluster, member.name)


def _role_in_sync(cluster: Cluster, name: MemberName) -> ReportedRole:
    """Which kind of standby it is, by the store."""
    if cluster.sync is None or name not in cluster.sync.standbys:
        return ReportedRole.STANDBY
    is_quorum = cluster.config.synchronous_mode is SynchronousMode.QUORUM
    return ReportedRole.QUORUM_STANDBY if is_quorum else ReportedRole.SYNC_STANDBY


def _witness(
    voter: VoterStatus,
    answers: Mapping[MemberName, PeerAnswer],
    raft: RaftStatus,
    now: Instant,
) -> MemberReport:
    answer = answers.get(MemberName(voter.name or ""))
    report = None if answer is None else answer.report
    return MemberReport(
        name=voter.name or voter.address,
        address="-",
        api_url=voter.api_url,
        role=ReportedRole.WITNESS,
        state=report.state if report else "no answer",
        timeline=None,
        received=None,
        replayed=None,
        position=None,
        lag_bytes=None,
        lag_seconds=None,
        raft_address=voter.address,
        raft_role=raft_role(raft, voter),
        tags={},
        last_seen_seconds=last_contact(voter, now),
        agent_pending=() if report is None else report.agent_pending,
        note=voter.problem or _note(report, answer),
    )


def _voter_name(raft: RaftStatus, address: str | None) -> str | None:
    for voter in raft.voters:
        if voter.address == address:
            return voter.name or voter.address
    return address


def tag_words(tags: Tags) -> dict[str, str | int | float | bool]:
    """The tags that differ from their defaults, and the user's own."""
    default = asdict(Tags())
    given = {k: v for k, v in asdict(tags).items() if k != "extra" and v != default[k]}
    return {**given, **tags.extra}
