"""The values that `/metrics` looks up when it is asked, from the report of the last tick. PURE.

`docs/monitoring.md` lists them. Those that begin with `patroni_` are Patroni's, with its meaning.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from raftha.api import standing
from raftha.api.standing import Question
from raftha.ha.holding import held_rows
from raftha.instants import Instant, longest, remaining
from raftha.metrics import Reading
from raftha.model.cluster import MemberRole, MemberState
from raftha.model.ids import Lsn
from raftha.model.postgres import ReplayPause, ServerStatus
from raftha.model.report import IN_ARCHIVE_RECOVERY, Level, NodeReport
from raftha.model.store import MAX_STATE_BYTES, RaftRole, VoterStatus

STATE_NUMBERS: Final = {
    MemberState.INITIALIZING: 0,
    MemberState.CREATING: 4,
    MemberState.REWINDING: 4,
    MemberState.RUNNING: 5,
    MemberState.STREAMING: 5,
    MemberState.PROMOTING: 5,
    MemberState.HUNG: 5,
    MemberState.STARTING: 6,
    MemberState.FAILED: 8,
    MemberState.STOPPING: 11,
    MemberState.STOPPED: 12,
    MemberState.WAITING: 12,
}
"""Patroni's numbers for the states of a server, as `patroni_postgres_state` gives them."""


_COUNTED: Final = (
    "xlog_location",
    "xlog_received_location",
    "xlog_replayed_location",
    "postgres_timeline",
)
"""Which of Patroni's are counters there."""


def readings(
    report: NodeReport, now: Instant, wall: float, first_term: int, *, patroni: bool = True
) -> Iterator[Reading]:
    """Everything about a node, under Patroni's names too if `patroni` says so. `wall` is Unix time,
    `first_term` the term that this process began in."""
    yield from _of_agent(report, now)
    yield from _of_group(report, now, first_term)
    if not report.witness:
        yield from _of_member(report, now)
        yield from _of_slots(report.server)
        if patroni:
            yield from _as_patroni(report, now, wall)


def _of_agent(report: NodeReport, now: Instant) -> Iterator[Reading]:
    yield Reading(
        name="raftha_build_info",
        doc="The version of this agent, as a label.",
        value=1,
        labels={"version": report.agent_version},
    )
    yield _gauge(
        "raftha_view_age_seconds",
        "Age of what this node knows: time since the loop last looked around.",
        longest(report.taken, now),
    )
    yield _gauge(
        "raftha_problems",
        "Problems that this node knows of; see status.",
        sum(1 for notice in report.problems if notice.level is Level.PROBLEM),
    )
    yield _gauge("raftha_leader_known", "1 if the cluster has a leader.", report.leader is not None)
    yield _gauge("raftha_paused", "1 in a maintenance pause.", report.paused)
    yield _gauge("raftha_ttl_seconds", "How long the leader lease lasts.", report.ttl)


def _of_group(report: NodeReport, now: Instant, first_term: int) -> Iterator[Reading]:
    raft = report.raft
    is_leader = raft.role is RaftRole.LEADER
    yield _gauge("raftha_raft_term", "Raft term.", raft.term)
    yield Reading(
        name="raftha_raft_elections_total",
        doc="Terms that began since this process started: elections, won or not.",
        value=max(0, raft.term - first_term),
        counts=True,
    )
    yield _gauge("raftha_raft_commit_index", "Last committed log entry.", raft.commit_index)
    yield _gauge("raftha_raft_applied_index", "Last applied log entry.", raft.applied_index)
    yield _gauge("raftha_raft_is_leader", "1 if this node is the raft leader.", is_leader)
    yield _gauge(
        "raftha_raft_has_majority", "1 if a majority of the voters is in touch.", raft.majority
    )
    yield _gauge("raftha_raft_voters", "Voters in the group.", len(raft.voters))
    yield _gauge("raftha_raft_quorum", "Voters needed for a majority.", raft.quorum)
    yield _gauge(
        "raftha_raft_voters_in_touch", "Voters in touch, this one included.", raft.connected
    )
    others = [voter for voter in raft.voters if not voter.is_self]
    for voter in others:
        if voter.last_contact is not None:
            yield _of_voter(
                "raftha_raft_voter_silence_seconds",
                "Time since this voter was last heard.",
                voter,
                longest(voter.last_contact, now),
            )
    for voter in others:
        if voter.match_index is not None:
            yield _of_voter(
                "raftha_raft_voter_lag_entries",
                "Committed log entries that this voter lacks; told by the raft leader.",
                voter,
                max(0, raft.commit_index - voter.match_index),
            )
    if raft.free_bytes is not None:
        yield _gauge(
            "raftha_raft_free_bytes", "Space left on the Raft directory's disk.", raft.free_bytes
        )
    yield _gauge(
        "raftha_store_bytes", "Size of the key store, as its limit counts.", raft.state_bytes
    )
    yield _gauge("raftha_store_limit_bytes", "Limit of raftha_store_bytes.", MAX_STATE_BYTES)


def _of_member(report: NodeReport, now: Instant) -> Iterator[Reading]:
    server = report.server
    question = Question(report=report, query={}, now=now)
    left = 0.0 if report.valid_until is None else max(0.0, remaining(report.valid_until, now))
    yield _gauge(
        "raftha_lease_remaining_seconds", "What is left of this node's leader lease.", left
    )
    yield _gauge("raftha_holds_leader_key", "1 if this node holds the leader key.", left > 0)
    yield _gauge(
        "raftha_routed",
        "1 if clients may write here: what /primary would answer 200 to.",
        standing.primary(question) is None,
    )
    yield _gauge("raftha_postgres_up", "1 if PostgreSQL runs and answers.", _is_up(question))
    yield _gauge(
        "raftha_postgres_primary",
        "1 if PostgreSQL here is a primary.",
        server is not None and server.is_primary,
    )
    yield _gauge(
        "raftha_sync_standby", "1 if this is a synchronous standby.", report.is_sync_standby
    )
    yield _gauge(
        "raftha_quorum_standby",
        "1 if this is a standby of the quorum that commits wait for.",
        report.is_quorum_standby,
    )
    if report.server_answered is not None:
        yield _gauge(
            "raftha_postgres_silence_seconds",
            "Time since PostgreSQL was last asked with success.",
            longest(report.server_answered, now),
        )
    yield from _of_wal(report)


def _of_wal(report: NodeReport) -> Iterator[Reading]:
    server, lag = report.server, _lag(report)
    if lag is not None:
        yield _gauge(
            "raftha_postgres_lag_bytes",
            "WAL that this standby lacks of what the leader is known to have written.",
            lag,
        )
    if report.rpo_bytes is not None:
        yield _gauge(
            "raftha_rpo_bytes",
            "WAL that a failover at this moment would lose; told by the leader.",
            report.rpo_bytes,
        )
    if server is not None and server.replay_lag_seconds is not None:
        yield _gauge(
            "raftha_postgres_replay_lag_seconds",
            "Age of the last replayed transaction, while there is WAL to replay.",
            server.replay_lag_seconds,
        )


def _of_slots(server: ServerStatus | None) -> Iterator[Reading]:
    for rows in held_rows(server):
        yield Reading(
            name="raftha_slot_held_transactions",
            doc="Transactions whose dead rows vacuum leaves for this slot of a primary.",
            value=float(rows.transactions),
            labels={"slot": rows.slot, "rows": "catalog" if rows.catalog else "all"},
        )


def _as_patroni(report: NodeReport, now: Instant, wall: float) -> Iterator[Reading]:
    server = report.server
    question = Question(report=report, query={}, now=now)
    leads = standing.leader(question) is None
    leads_standbys = standing.standby_leader(question) is None
    is_replica = server is not None and not server.is_primary
    streaming = is_replica and server is not None and _receiver_status(server) == "streaming"
    restoring = standing.replication_state(server) == IN_ARCHIVE_RECOVERY
    paused = is_replica and server is not None and _is_paused(server)
    values: tuple[tuple[str, str, float | None], ...] = (
        ("version", "Version of the agent as a number, 10203 for 1.2.3.", _version(report)),
        ("postgres_running", "1 if PostgreSQL is running.", _is_up(question)),
        ("postmaster_start_time", "Unix time of the postmaster's start.", _started(server)),
        ("primary", "1 if this node is the leader with a primary.", leads),
        ("standby_leader", "1 if this node leads a standby cluster.", leads_standbys),
        ("replica", "1 if this node is a standby.", is_replica),
        ("sync_standby", "1 if this is a synchronous standby.", report.is_sync_standby),
        ("quorum_standby", "1 if this is a quorum standby.", report.is_quorum_standby),
        ("xlog_location", "WAL position written, 0 on a standby.", _written(server)),
        ("xlog_received_location", "WAL position received, 0 on a primary.", _received(server)),
        ("xlog_replayed_location", "WAL position replayed, 0 on a primary.", _replayed(server)),
        ("xlog_replayed_timestamp", "Unix time of the last one replayed.", _replayed_at(server)),
        ("is_paused", "1 in a maintenance pause.", report.paused),
        ("xlog_paused", "1 if replay is paused.", paused),
        ("postgres_streaming", "1 if this standby streams.", streaming),
        ("postgres_in_archive_recovery", "1 if this standby restores from an archive.", restoring),
        ("postgres_server_version", "Version of PostgreSQL as a number.", _server_version(server)),
        ("cluster_unlocked", "1 if nobody holds the leader key.", report.leader is None),
        ("failsafe_mode_enabled", "0: there is no outside store to lose.", 0),
        ("failsafe_mode_is_active", "0: there is no outside store to lose.", 0),
        ("postgres_timeline", "Timeline.", server.timeline if server else 0),
        ("dcs_last_seen", "Unix time of the last touch with a majority.", _seen(report, now, wall)),
        ("pending_restart", "1 if a setting waits for a restart.", bool(report.pending)),
        ("postgres_state", "State of PostgreSQL, by number.", STATE_NUMBERS[report.state]),
        ("failover_priority", "Its tag; 0: never promoted.", _priority(report)),
    )
    for name, doc, value in values:
        if value is not None:
            counts = name in _COUNTED
            yield Reading(name=f"patroni_{name}", doc=doc, value=float(value), counts=counts)


def _gauge(name: str, doc: str, value: float) -> Reading:
    return Reading(name=name, doc=doc, value=float(value))


def _of_voter(name: str, doc: str, voter: VoterStatus, value: float) -> Reading:
    labels = {"voter": voter.name or voter.address}
    return Reading(name=name, doc=doc, value=float(value), labels=labels)


def _is_up(question: Question) -> bool:
    return standing.not_running(question) is None


def _lag(report: NodeReport) -> int | None:
    server, leader = report.server, report.leader_position
    if report.role is not MemberRole.STANDBY or server is None or server.is_primary:
        return None
    if leader is None or server.position is None:
        return None
    return server.position.behind(leader)


def _version(report: NodeReport) -> int:
    number = 0
    for part in report.agent_version.split(".")[:3]:
        digits = "".join(character for character in part if character.isdecimal())
        number = number * 100 + int(digits or 0)
    return number


def _started(server: ServerStatus | None) -> float | None:
    return 0.0 if server is None else _unix(server.started)


def _replayed_at(server: ServerStatus | None) -> float | None:
    """0 on a primary, and before the first one."""
    return 0.0 if server is None or server.replayed_at is None else _unix(server.replayed_at)


def _unix(text: str) -> float | None:
    """PostgreSQL's time in seconds; None for one of its own style of writing."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _number(position: Lsn | None) -> int:
    return 0 if position is None else position.value


def _priority(report: NodeReport) -> int:
    return report.tags.failover_priority if report.tags.may_lead else 0


def _written(server: ServerStatus | None) -> int:
    return _number(server.written) if server is not None and server.is_primary else 0


def _received(server: ServerStatus | None) -> int:
    return _number(server.received) if server is not None and server.in_recovery else 0


def _replayed(server: ServerStatus | None) -> int:
    return _number(server.replayed) if server is not None and server.in_recovery else 0


def _receiver_status(server: ServerStatus) -> str | None:
    return None if server.receiver is None else server.receiver.status


def _is_paused(server: ServerStatus) -> bool:
    return server.replay_pause is not ReplayPause.NOT_PAUSED


def _server_version(server: ServerStatus | None) -> int:
    return 0 if server is None else server.version


def _seen(report: NodeReport, now: Instant, wall: float) -> int:
    return 0 if report.store_seen is None else int(wall - longest(report.store_seen, now))
