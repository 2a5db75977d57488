"""Health checks and the status document: Patroni's paths, meaning and status codes.

PURE: the answer follows from the path, the report of the last tick and the instant of the question.
It must never say yes to a load balancer on the strength of a lease that has ended or a view that
has grown old; `raftha.api.standing` holds those judgements, this file which path asks which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from raftha.api import standing
from raftha.api.reply import Reply
from raftha.api.standing import BadQuery, Check, Question
from raftha.instants import Instant, longest, remaining
from raftha.model.cluster import MemberState
from raftha.model.postgres import PendingRestart, ReplayPause, ServerStatus
from raftha.model.report import NodeReport
from raftha.model.scheduling import ScheduledRestart
from raftha.model.store import RaftStatus, VoterStatus

CHECKS: Final[Mapping[str, Check]] = {
    "/": standing.primary,
    "/primary": standing.primary,
    "/read-write": standing.primary,
    "/master": standing.primary,
    "/leader": standing.leader,
    "/standby-leader": standing.standby_leader,
    "/standby_leader": standing.standby_leader,
    "/replica": standing.replica,
    "/read-only": standing.read_only,
    "/sync": standing.synchronous,
    "/synchronous": standing.synchronous,
    "/read-only-sync": standing.read_only_synchronous,
    "/quorum": standing.quorum,
    "/read-only-quorum": standing.read_only_quorum,
    "/async": standing.asynchronous,
    "/asynchronous": standing.asynchronous,
    "/health": standing.health,
    "/liveness": standing.liveness,
    "/readiness": standing.readiness,
}
"""Which judgement each path asks for: 200 where it has no objection, else 503."""


def answer(
    path: str, query: Mapping[str, str], report: NodeReport, now: Instant, wall: float
) -> Reply | None:
    """The answer to a question about this node; None if the path asks for something else.

    `wall` is Unix time and only printed. The body is the status document with a `verdict`.
    """
    document = status_document(report, now, wall)
    if path == "/patroni":
        return Reply(status=200, body=document)
    check = CHECKS.get(path)
    if check is None:
        return None
    try:
        objection = check(Question(report=report, query=query, now=now))
    except BadQuery as error:
        return Reply(status=400, body={**document, "verdict": str(error)})
    return Reply(
        status=200 if objection is None else 503,
        body={**document, "verdict": objection or "ok"},
    )


def status_document(report: NodeReport, now: Instant, wall: float) -> dict[str, Any]:
    """Patroni's status document, with our own keys after its own. `state` and `role` are words of
    Patroni; `rule` and `reason` are those of the last decision."""
    return {
        **_server_document(report),
        **({"pause": True} if report.paused else {}),
        "dcs_last_seen": _wall_of(report.store_seen, now, wall),
        "tags": standing.tags_document(report.tags),
        "patroni": {"version": report.agent_version, "scope": report.scope, "name": report.name},
        "age_seconds": round(longest(report.taken, now), 3),
        "leader": report.leader,
        "holds_leader_key": report.holds_leader_key,
        "lease_remaining_seconds": _lease(report, now),
        "routed": report.routed,
        "rule": report.rule,
        "reason": report.reason,
        "raft": _raft_document(report.raft, now),
        "pending_agent_restart": list(report.agent_pending),
        "problems": [
            {
                "subject": notice.subject,
                "what": notice.what,
                "remedy": notice.remedy,
                "level": notice.level.value,
                "code": notice.code,
            }
            for notice in report.problems
        ],
    }


def _server_document(report: NodeReport) -> dict[str, Any]:
    document: dict[str, Any] = {"state": _state_word(report), "role": _role_word(report)}
    if report.system_id is not None:
        document["database_system_identifier"] = report.system_id
    if report.leader is None:
        document["cluster_unlocked"] = True
    server = report.server
    if server is None:
        return document
    document |= {
        "postmaster_start_time": server.started,
        "server_version": server.version,
        "xlog": _wal_document(server),
        "timeline": server.timeline,
        "replication": [
            {
                "application_name": standby.application_name,
                "state": standby.state,
                "sync_state": standby.sync_state.value,
            }
            for standby in server.attached
        ],
    }
    if report.is_sync_standby:
        document["sync_standby"] = True
    if report.is_quorum_standby:
        document["quorum_standby"] = True
    if (replication := standing.replication_state(server)) is not None:
        document["replication_state"] = replication
    document |= pending_document(report.pending)
    if report.scheduled_restart is not None:
        document |= scheduled_document(report.scheduled_restart)
    return document


def iso_time(wall: float) -> str:
    """Unix time as ISO 8601, in UTC."""
    return datetime.fromtimestamp(wall, UTC).isoformat()


def scheduled_document(plan: ScheduledRestart) -> dict[str, Any]:
    """A restart that waits for its time, in Patroni's words; nothing if it was refused."""
    if plan.refused:
        return {}
    conditions = {
        "role": plan.role,
        "postgres_version": plan.postgres_version,
        "restart_pending": plan.restart_pending,
    }
    given = {word: value for word, value in conditions.items() if value}
    return {"scheduled_restart": {"schedule": iso_time(plan.due), **given}}


def pending_document(pending: Sequence[PendingRestart]) -> dict[str, Any]:
    """What a restart is wanted for, in Patroni's words; nothing if it is not."""
    if not pending:
        return {}
    reasons = {each.name: {"old_value": each.running, "new_value": each.wanted} for each in pending}
    return {"pending_restart": True, "pending_restart_reason": reasons}


def _wal_document(server: ServerStatus) -> dict[str, Any]:
    if server.is_primary:
        return {"location": None if server.written is None else server.written.value}
    return {
        "received_location": None if server.received is None else server.received.value,
        "replayed_location": None if server.replayed is None else server.replayed.value,
        "replayed_timestamp": server.replayed_at,
        "paused": server.replay_pause is not ReplayPause.NOT_PAUSED,
        "replay_lag_seconds": server.replay_lag_seconds,
    }


def _state_word(report: NodeReport) -> str:
    """On a node's own page Patroni says `running` of a standby that streams, too."""
    if report.witness or report.state is MemberState.STREAMING:
        return MemberState.RUNNING.value
    return report.state.value


def _role_word(report: NodeReport) -> str:
    if report.witness:
        return "witness"
    if report.server is not None and report.server.is_primary:
        return "primary"
    return "replica"


def _lease(report: NodeReport, now: Instant) -> float | None:
    if report.valid_until is None:
        return None
    return round(max(0.0, remaining(report.valid_until, now)), 3)


def _wall_of(instant: Instant | None, now: Instant, wall: float) -> int | None:
    return None if instant is None else int(wall - longest(instant, now))


def _raft_document(raft: RaftStatus, now: Instant) -> dict[str, Any]:
    return {
        "role": raft.role.value,
        "leader": raft.leader,
        "term": raft.term,
        "majority": raft.majority,
        "commit_index": raft.commit_index,
        "applied_index": raft.applied_index,
        "quorum": raft.quorum,
        "fsync_seconds": raft.fsync.last,
        "fsync_p99_seconds": raft.fsync.p99,
        "fsync_longest_seconds": raft.fsync.longest,
        "free_bytes": raft.free_bytes,
        "store_bytes": raft.state_bytes,
        "voters": [_voter_document(voter, now) for voter in raft.voters],
        "joiners": [_voter_document(joiner, now) for joiner in raft.joiners],
    }


def _voter_document(voter: VoterStatus, now: Instant) -> dict[str, Any]:
    heard = voter.last_contact
    return {
        "address": voter.address,
        "name": voter.name,
        "incarnation": voter.incarnation,
        "bound": voter.bound,
        "self": voter.is_self,
        "connected": voter.connected,
        "witness": voter.witness,
        "last_contact_seconds": None if heard is None else round(longest(heard, now), 3),
        "problem": voter.problem,
    }
