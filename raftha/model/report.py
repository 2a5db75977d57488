"""What a node tells to people, load balancers and its peers: the values behind HTTP and the CLI.

`NodeReport` is published by the loop at each tick; `PeerReport` is measured when a peer asks;
`ClusterReport` is put together when somebody asks for the whole cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct, field

from raftha.instants import Instant, Seconds
from raftha.model.cluster import HistoryRecord, MemberRole, MemberState
from raftha.model.ids import Epoch, Lsn, MemberName, SystemId, Timeline
from raftha.model.membership import MemberVerb
from raftha.model.operation import OperationState as OperationState
from raftha.model.operation import OperationStep as OperationStep
from raftha.model.operation import RequestKind as RequestKind
from raftha.model.postgres import HeldRows, PendingRestart, ServerStatus
from raftha.model.scheduling import ScheduledRestart, ScheduledSwitchover
from raftha.model.settings import Tags
from raftha.model.store import RaftStatus


class ReportedRole(StrEnum):
    """The role of a node in the cluster, in the words of the screen."""

    PRIMARY = "primary"
    SYNC_STANDBY = "sync standby"
    QUORUM_STANDBY = "quorum standby"
    STANDBY = "standby"
    WITNESS = "witness"
    NONE = "none"


IN_ARCHIVE_RECOVERY: Final = "in archive recovery"
"""Patroni's words for a standby without a stream that restores from an archive."""


class NodeReport(Struct, frozen=True, kw_only=True):
    """This node at its last tick; whoever answers from it says its age.

    `valid_until` is set while this node holds the lease. `routed` says that a primary may be given
    to clients: promoted, and its synchronous set settled. `paused` says that the cluster is in
    maintenance pause. `pending` is what a restart of PostgreSQL is wanted for, `agent_pending` are
    the options of the file that wait for one of the agent. `scheduled_restart` waits for its time.
    `rpo_bytes` is what a failover now would lose, as far as a leader knows by its own streams.
    `rule` and `reason` are the last decision's.
    """

    taken: Instant
    scope: str
    name: MemberName
    agent_version: str
    witness: bool
    state: MemberState
    role: MemberRole
    ttl: Seconds
    loop_wait: Seconds
    raft: RaftStatus
    holds_leader_key: bool = False
    valid_until: Instant | None = None
    routed: bool = False
    is_sync_standby: bool = False
    is_quorum_standby: bool = False
    server: ServerStatus | None = None
    server_answered: Instant | None = None
    system_id: SystemId | None = None
    leader: MemberName | None = None
    leader_position: Lsn | None = None
    store_seen: Instant | None = None
    maximum_lag_on_failover: int = 1048576
    tags: Tags = field(default_factory=Tags)
    paused: bool = False
    pending: tuple[PendingRestart, ...] = ()
    agent_pending: tuple[str, ...] = ()
    scheduled_restart: ScheduledRestart | None = None
    rpo_bytes: int | None = None
    rule: str = ""
    reason: str = ""
    problems: tuple[Notice, ...] = ()


class Level(StrEnum):
    """How much a notice matters: something is wrong, or works and should still be otherwise."""

    PROBLEM = "problem"
    WARNING = "warning"


class Notice(Struct, frozen=True, kw_only=True):
    """Something that is wrong or unusual, and what to do about it. `code` is a `Trouble`, or the
    word of a newer version for one that this one does not know; empty from an older version."""

    subject: str
    what: str
    remedy: str
    level: Level = Level.PROBLEM
    code: str = ""


class PeerGroup(Struct, frozen=True, kw_only=True):
    """What a voter tells of itself. `fsync_seconds` is the 99th percentile of the last minute.
    `matches` is the raft leader's alone: how far the log of each other voter is known to go, by
    address."""

    commit_index: int
    fsync_seconds: Seconds
    matches: Mapping[str, int] = field(default_factory=dict)


class PeerReport(Struct, frozen=True, kw_only=True):
    """A member's answer to a peer, measured at that moment and not taken from its last view.

    `primary_alive` is the guardian's word that a server that accepts writes runs there. `position`
    is the newest WAL held (None: unknown). `pledged` is the floor under which it is the last word:
    the old stream was cut before, and no leader older than that is followed any more; None if it
    still may grow (R17), or if a version tells it that knows no pledge. `stopped_at` is the
    shutdown checkpoint of a server that was a primary and stopped cleanly. `obstacle` is why this
    member would not take over; `lacking` is why it may lack commits, where nothing else stands
    against it. `from_backup` says that a program made its data directory, which has followed no
    leader since: that it holds no more proves nothing. `paused` says that it keeps to a maintenance
    pause, and a primary here has no deadline. `pending` is what a restart of PostgreSQL is wanted
    for, `agent_pending` what one of the agent is. `held` are the dead rows that slots of a primary
    keep from vacuum. `notices` are those about this member itself.
    """

    name: MemberName
    system_id: SystemId | None
    state: MemberState
    role: MemberRole
    primary_alive: bool
    timeline: Timeline | None
    position: Lsn | None
    received: Lsn | None
    replayed: Lsn | None
    replay_lag_seconds: Seconds | None = None
    pledged: Epoch | None = None
    stopped_at: Lsn | None = None
    streaming_from: str | None = None
    obstacle: str | None = None
    lacking: str | None = None
    from_backup: bool = False
    wants_lead: bool = True
    agent_version: str = ""
    rule: str = ""
    reason: str = ""
    group: PeerGroup | None = None
    paused: bool = False
    pending: tuple[PendingRestart, ...] = ()
    agent_pending: tuple[str, ...] = ()
    held: tuple[HeldRows, ...] = ()
    notices: tuple[Notice, ...] = ()


class Standing(StrEnum):
    """What a node is in the Raft group."""

    VOTER = "voter"
    UNMET = "unmet"
    """A voter of the files whom nobody has met: its address counts, and nobody votes there."""
    ADMITTED = "admitted"
    """It gets its vote as soon as it holds the log."""
    NEWCOMER = "newcomer"
    """It holds the log and has no vote."""
    REMOVED = "removed"


class VoterReport(Struct, frozen=True, kw_only=True):
    """A line of the table of voters, as the answering node sees it. None is unknown. `incarnation`
    is the random identity of the Raft directory, `kind` is `data` or `witness`."""

    name: str
    address: str
    role: str
    in_touch: bool
    behind_entries: int | None
    last_contact_seconds: Seconds | None
    fsync_seconds: Seconds | None
    incarnation: str | None = None
    kind: str = "data"
    standing: Standing = Standing.VOTER


class MemberReport(Struct, frozen=True, kw_only=True):
    """A line of the status table. Lags are None where they cannot be known. `upstream` is the
    member that it streams from now, `proxy_url` a connection pool beside it."""

    name: str
    address: str
    api_url: str
    role: ReportedRole
    state: str
    timeline: Timeline | None
    received: Lsn | None
    replayed: Lsn | None
    position: Lsn | None
    lag_bytes: int | None
    lag_seconds: Seconds | None
    raft_address: str
    raft_role: str
    tags: Mapping[str, str | int | float | bool]
    last_seen_seconds: Seconds | None
    is_leader: bool = False
    note: str = ""
    answers: bool = True
    paused: bool = False
    pending: tuple[PendingRestart, ...] = ()
    agent_pending: tuple[str, ...] = ()
    upstream: str | None = None
    proxy_url: str = ""


class MemberChangeRequest(Struct, frozen=True, kw_only=True):
    """What an operator wishes of a node's vote, as it came in. `address` is a Raft address: needed
    to add a node, else that of the seat is meant. `dry_run` wants it judged and not done."""

    verb: MemberVerb
    name: str
    address: str | None = None
    dry_run: bool = False


class MemberChange(Struct, frozen=True, kw_only=True):
    """The latest wish for a name, and how far it has come."""

    id: str
    verb: MemberVerb
    name: str
    address: str
    state: OperationState
    message: str


class Reloaded(Struct, frozen=True, kw_only=True):
    """What reading a node's file again came to: the options that differ from the reading before,
    those that wait for a restart of the agent, and why the log could not go where the file says
    (empty where it could)."""

    changed: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    log: str = ""


class Exposure(Struct, frozen=True, kw_only=True):
    """What a failover at this moment would lose. None is unknown. `automatic` says whether there
    would be one by itself; `standby` is who would take over, where anything could be lost."""

    automatic: bool
    bytes: int | None = None
    seconds: Seconds | None = None
    standby: MemberName | None = None


class PauseChange(Struct, frozen=True, kw_only=True):
    """What became of the word that begins (`paused`) or ends the maintenance pause."""

    paused: bool
    state: OperationState
    message: str


class ClusterReport(Struct, frozen=True, kw_only=True):
    """The whole cluster as one node can tell it. With `majority` false it is what that node last
    knew, `age_seconds` old. `held` is what slots of the leader keep from vacuum. `sync_quorum` is
    how many others of `sync_standbys` one of them must
    have heard to be promoted. `disarmed` are the members whose primary may run without a deadline.
    `last_written` is how far leaders were known to have written, while there is none. What is
    scheduled waits for its time, or was refused and is kept until somebody has taken note.
    `stopped_by` is the node at which an operator stopped the whole cluster.
    """

    scope: str
    answered_by: MemberName
    majority: bool
    age_seconds: Seconds
    system_id: SystemId | None
    postgres_version: str | None
    leader: MemberName | None
    lease_remaining_seconds: Seconds | None
    ttl: Seconds
    synchronous_mode: str
    sync_standbys: tuple[str, ...]
    raft_leader: str | None
    raft_term: int
    quorum: int
    voters: int
    voters_connected: int
    members: tuple[MemberReport, ...]
    history: tuple[HistoryRecord, ...] = ()
    request: Mapping[str, str] | None = None
    problems: tuple[Notice, ...] = ()
    raft_commit: int = 0
    held: tuple[HeldRows, ...] = ()
    group: tuple[VoterReport, ...] = ()
    without_vote: tuple[VoterReport, ...] = ()
    changes: tuple[MemberChange, ...] = ()
    sync_quorum: int = 0
    synchronous_mode_strict: bool = False
    rpo: Exposure | None = None
    paused: bool = False
    disarmed: tuple[str, ...] = ()
    last_written: Lsn | None = None
    scheduled_switchover: ScheduledSwitchover | None = None
    scheduled_restarts: tuple[ScheduledRestart, ...] = ()
    stopped_by: MemberName | None = None


class OperationRequest(Struct, frozen=True, kw_only=True):
    """A switchover or failover that an operator asks for, as it came in. `fenced` is a member that
    the operator says is off, though its primary was left without a deadline. `may_lose` accepts
    the loss of commits that the candidate may lack. `dry_run` wants it judged and not done."""

    kind: RequestKind
    leader: MemberName | None = None
    candidate: MemberName | None = None
    fenced: MemberName | None = None
    may_lose: bool = False
    dry_run: bool = False


class StepTaken(Struct, frozen=True, kw_only=True):
    """A step and when the answering node saw it committed, counted from the request."""

    step: OperationStep
    by: MemberName
    seconds: Seconds


class OperationReport(Struct, frozen=True, kw_only=True):
    """The latest operator request. `write_gap_seconds` runs from the moment the old primary began
    to stop until the new one took writes; all times are on the answering node's clock."""

    id: str
    kind: RequestKind
    state: OperationState
    message: str
    steps: tuple[StepTaken, ...] = ()
    write_gap_seconds: Seconds | None = None
