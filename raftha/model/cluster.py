"""The cluster as the key store tells it: one value for each key, already decoded and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct, field

from raftha.instants import Seconds
from raftha.model.ids import Epoch, Lsn, MemberName, Revision, SystemId, Timeline
from raftha.model.membership import MemberWish
from raftha.model.operation import Operation, OperatorRequest
from raftha.model.scheduling import ScheduledRestart, ScheduledSwitchover
from raftha.model.settings import Address, DynamicConfig, Tags
from raftha.model.store import Key, Lease


class MemberState(StrEnum):
    """What a member says of its PostgreSQL, in Patroni's words."""

    WAITING = "waiting"
    INITIALIZING = "initializing new cluster"
    CREATING = "creating replica"
    REWINDING = "running pg_rewind"
    STARTING = "starting"
    RUNNING = "running"
    STREAMING = "streaming"
    PROMOTING = "promoting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "start failed"
    HUNG = "not answering"


class MemberRole(StrEnum):
    PRIMARY = "primary"
    STANDBY = "standby"
    NONE = "none"


class Member(Struct, frozen=True, kw_only=True):
    """A node with PostgreSQL, as it announced itself under `members/<name>`. `has_data` says that
    its data directory is older than this cluster, which therefore may not be made from nothing, and
    `is_origin` that it is a primary's and could be what the cluster is made from. `stream` is how
    its stream from a primary is called; empty for its own name. `proxy_url` is that of a
    connection pool beside it, if there is one. `sizes` are those that its server runs with
    (`model/postgres.py`); empty where none answers."""

    name: MemberName
    api_url: str
    postgres: Address
    raft: str
    slot: str
    state: MemberState
    role: MemberRole
    timeline: Timeline | None = None
    postgres_version: int | None = None
    agent_version: str = ""
    tags: Tags = field(default_factory=Tags)
    has_data: bool = False
    is_origin: bool = False
    stream: str = ""
    proxy_url: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    revision: Revision = Revision(0)


class Leader(Struct, frozen=True, kw_only=True):
    """The leader key. `guardian` is the nonce of the guardian that the epoch dies with."""

    name: MemberName
    guardian: str
    epoch: Epoch
    revision: Revision
    lease: Lease


class Receipt(Struct, frozen=True, kw_only=True):
    """The last time that a guardian told the others of the end of agent and primary of `name`, and
    that it has burned that `epoch`."""

    name: MemberName
    epoch: Epoch
    revision: Revision


class SlotNote(Struct, frozen=True, kw_only=True):
    """How far the reader of a slot of the leader is, as the leader told with a renewal; and from
    which transaction on the slot keeps rows of the catalog."""

    position: Lsn
    catalog_xmin: int | None = None


class Told(Struct, frozen=True, kw_only=True):
    """How far `leader` had written `timeline`, as it told with one of its last renewals. It
    outlives the lease, and is told only where no commit waits for a standby."""

    leader: MemberName
    timeline: Timeline
    position: Lsn
    revision: Revision


class Disarmed(Struct, frozen=True, kw_only=True):
    """The primary of `name` may run without a deadline, for a maintenance pause; so nobody else is
    promoted while this stands.

    `epoch` is the one it was disarmed under, `process` the server, `guardian` the nonce of its
    guardian and `incarnation` the identity of its Raft directory: these two tell its machine from
    another of that name. All are empty where the entry cannot be read.
    """

    name: MemberName
    revision: Revision
    epoch: Epoch | None = None
    guardian: str = ""
    process: str = ""
    incarnation: str = ""


class Halt(Struct, frozen=True, kw_only=True):
    """An operator has stopped PostgreSQL of the whole cluster, at the node `by`; while the key is
    there no server is started."""

    by: MemberName
    revision: Revision = Revision(0)


class SyncSet(Struct, frozen=True, kw_only=True):
    """Who may be promoted automatically: `leader`, and each of `standbys` that has heard `quorum`
    others of them of which none holds more than it: every acknowledged commit of this epoch is held
    by one of any `quorum + 1` of them. With a quorum of 0 each holds all by itself. Nobody of whom
    that is true has less WAL than `floor`: who has was put back from an older copy."""

    leader: MemberName
    standbys: tuple[MemberName, ...]
    revision: Revision
    quorum: int = 0
    floor: Lsn | None = None


class HistoryRecord(Struct, frozen=True, kw_only=True):
    """One promotion: committed before it happens, so that its timeline number is never used again.

    `switch` is where the new timeline leaves `parent`; `wall` is Unix time, for people. `seen` is
    how far the leader before had written, by its last renewal. `lost_bytes` is the WAL of `parent`
    behind the switch, known once the server that holds it has come back. `gap_seconds` is for how
    long nobody had taken writes when this leader first did; unknown while it does not, or where its
    agent was started since the leader before was lost.

    `strikes` counts how often the primary went without being asked to, this promotion included,
    since a primary last served in peace. `restarts` says why this leader started its server again
    where it was, the newest last; `ended` why it gave the leader key back.
    """

    timeline: Timeline
    parent: Timeline | None
    switch: Lsn | None
    epoch: Epoch
    leader: MemberName
    reason: str
    wall: float
    seen: Lsn | None = None
    lost_bytes: int | None = None
    strikes: int = 0
    restarts: tuple[str, ...] = ()
    ended: str = ""
    gap_seconds: Seconds | None = None

    @property
    def is_promotion(self) -> bool:
        """False for what a recovery leaves here: it sets timeline numbers aside, and no server
        writes this one."""
        return self.epoch.revision > 0

    @property
    def loss(self) -> str:
        """What the promotion left behind, as far as it is known; empty if nothing is known."""
        if self.lost_bytes is not None:
            return f"{self.lost_bytes} bytes of WAL were left behind" if self.lost_bytes else ""
        if self.switch is None or self.seen is None or self.seen <= self.switch:
            return ""
        known = self.switch.behind(self.seen)
        return f"at least {known} bytes of WAL were left behind, as far as its leader had told"

    @property
    def gap(self) -> str:
        """For how long nobody could write, in words; empty where that is not known."""
        return "" if self.gap_seconds is None else f"no writes for {self.gap_seconds:.1f} s"

    @property
    def end(self) -> str:
        """Why this leader gave the leader key back; empty if it did not, or is not known to."""
        return f"{self.leader} gave the leader key back: {self.ended}" if self.ended else ""


class Succession(Struct, frozen=True):
    """A record with all that belongs to it: who led `before` (None is unknown, or nobody), and what
    led to it and came of it, in words."""

    record: HistoryRecord
    before: MemberName | None
    words: str


def successions(history: Sequence[HistoryRecord]) -> Iterator[Succession]:
    """The history, the oldest first. Why a leader ended is in the reason of the next one, where it
    is looked for, and here for the last one alone."""
    before: MemberName | None = None
    for record in history:
        end = record.end if record is history[-1] else ""
        words = (record.reason, record.loss, *record.restarts, end)
        is_heir = record.is_promotion and record.parent is not None
        yield Succession(record, before if is_heir else None, "; ".join(filter(None, words)))
        before = record.leader if record.is_promotion else before


class Initialize(Struct, frozen=True, kw_only=True):
    """The `initialize` key: who runs initdb, and then the system identifier it made. `birth` tells
    this beginning from every other one, as of a cluster that had the same directories before; empty
    where an older release wrote it."""

    by: MemberName
    system_id: SystemId | None
    revision: Revision
    birth: str = ""


class Cluster(Struct, frozen=True, kw_only=True):
    """Everything under the cluster's prefix at one revision.

    `config_revision` is None while no configuration was stored, and `config` then holds the
    defaults. `slots` are those that the leader says it has made, `timeline` the one it writes;
    `checkpointed` says that its checkpoint after the promotion is done, which pg_rewind needs.
    `wishes` are what operators last wished of who votes, by name; `disarmed` are the members whose
    primary may run without a deadline.
    """

    revision: Revision
    generation: int
    initialize: Initialize | None = None
    config: DynamicConfig = field(default_factory=DynamicConfig)
    config_revision: Revision | None = None
    leader: Leader | None = None
    members: Mapping[MemberName, Member] = field(default_factory=dict)
    wishes: Mapping[MemberName, MemberWish] = field(default_factory=dict)
    sync: SyncSet | None = None
    receipt: Receipt | None = None
    told: Told | None = None
    disarmed: Mapping[MemberName, Disarmed] = field(default_factory=dict)
    request: OperatorRequest | None = None
    operation: Operation | None = None
    halt: Halt | None = None
    scheduled_switchover: ScheduledSwitchover | None = None
    scheduled_restarts: Mapping[MemberName, ScheduledRestart] = field(default_factory=dict)
    history: tuple[HistoryRecord, ...] = ()
    history_revision: Revision | None = None
    slots: tuple[str, ...] = ()
    timeline: Timeline | None = None
    checkpointed: bool = False
    status_revision: Revision | None = None
    problems: tuple[str, ...] = ()
    unreadable: frozenset[Key] = frozenset()

    @property
    def paused(self) -> bool:
        """An operator has put the cluster into maintenance pause. A cluster that is not born yet
        cannot be paused, whatever the file of a node says."""
        return self.config.pause and self.config_revision is not None

    @property
    def highest_timeline(self) -> Timeline:
        """The highest timeline number that was ever promised to a promotion; 0 if none was."""
        return Timeline(max((record.timeline for record in self.history), default=0))
