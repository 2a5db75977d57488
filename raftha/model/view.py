"""All that one decision may look at: gathered once, frozen, and enough to repeat the decision."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

from raftha.instants import Instant, remaining
from raftha.model.cluster import Cluster
from raftha.model.ids import Epoch, Lsn, MemberName, Revision, Timeline
from raftha.model.postgres import Copied, DataDirectory, Kept, ServerStatus, TimelineSwitch
from raftha.model.report import PeerReport
from raftha.model.restarting import ServerWish, WishKind
from raftha.model.settings import Address, DynamicConfig, Tags
from raftha.model.store import LeaseId, RaftStatus


class Identity(Struct, frozen=True, kw_only=True):
    """This node as its file describes it: changes only when the file is read again. `stream` is how
    its stream from a primary is called; as the node itself where that is empty. `given_timings` are
    written in `bootstrap`, though they might follow. `pre_promote` and `post_bootstrap` say that a
    program of the operator's is asked then; `copies_alone`, that copies can be made without anybody
    to copy."""

    name: MemberName
    slot: str
    postgres: Address
    api_url: str
    raft: str
    agent_version: str
    stream: str = ""
    proxy_url: str = ""
    tags: Tags = field(default_factory=Tags)
    parameters: Mapping[str, str] = field(default_factory=dict)
    pg_hba: tuple[str, ...] = ()
    pg_ident: tuple[str, ...] = ()
    bootstrap: DynamicConfig = field(default_factory=DynamicConfig)
    given_timings: frozenset[str] = frozenset()
    pre_promote: bool = False
    post_bootstrap: bool = False
    copies_alone: bool = False


class HeldLease(Struct, frozen=True, kw_only=True):
    """The leader lease as its holder may count on it: `valid_until` is already shortened by the
    clock bound, and was counted from the hand-over of the last renewal that committed. `armed`
    says that the guardian got that deadline, and that nobody has asked since to take it away."""

    lease: LeaseId
    epoch: Epoch
    revision: Revision
    valid_until: Instant
    armed: bool = True

    def is_valid(self, now: Instant) -> bool:
        return remaining(self.valid_until, now) > 0


class GuardianView(Struct, frozen=True, kw_only=True):
    """The guardian's last word. `running` is a postmaster or any process left of its tree;
    `primary` says that it was started or promoted to accept writes, under `epoch`, and `armed` that
    a deadline stands at which it will be killed; `disarmed` that it runs and none stands, for a
    maintenance pause. `predecessors` are the nonces of those before it that guarded this directory
    on this host, and are dead. `problem` says why none could be had."""

    alive: bool
    nonce: str = ""
    running: bool = False
    primary: bool = False
    armed: bool = False
    disarmed: bool = False
    epoch: Epoch | None = None
    process: str = ""
    burned: tuple[Epoch, ...] = ()
    predecessors: tuple[str, ...] = ()
    last_exit: str | None = None
    problem: str = ""


class JobKind(StrEnum):
    """Slow work, one at a time."""

    INITDB = "initdb"
    RESTORE = "the program of bootstrap.method"
    TAKE_OVER = "stopping the server that runs here"
    CREATE_ROLES = "create roles"
    POST_BOOTSTRAP = "post_bootstrap"
    PUT_ASIDE = "the bootstrap"
    CLONE = "pg_basebackup"
    REJOIN = "pg_rewind"
    CHECKPOINT = "checkpoint"
    MAKE_SLOTS = "making logical slots"
    COPY_SLOTS = "copying logical slots"
    PRE_PROMOTE = "pre_promote"

    @property
    def disturbs_nothing(self) -> bool:
        """The server and its directory are left as they are: other things may be done meanwhile."""
        return self in (
            JobKind.CHECKPOINT,
            JobKind.MAKE_SLOTS,
            JobKind.COPY_SLOTS,
            JobKind.PRE_PROMOTE,
        )


class JobView(Struct, frozen=True, kw_only=True):
    """The job that runs; `source` is the member it copies from, if it does, and `copied` how far
    the program that copies said last that it is."""

    kind: JobKind
    started: Instant
    source: str = ""
    copied: Copied | None = None


class Diverged(Struct, frozen=True, kw_only=True):
    """The WAL that was here when it was compared with the cluster's line: of `timeline`, up to
    `end`. What of it lies behind the switch to the next timeline is lost, and is in `kept` now,
    where a rewind undid it; `fetched` segments of older WAL came from the leader for that."""

    timeline: Timeline
    end: Lsn
    kept: str = ""
    fetched: int = 0


class JobResult(Struct, frozen=True, kw_only=True):
    """The last job that ended; `error` is None if it did what it was for. `diverged` is what it
    undid or had to undo, or how far a former primary went that had nothing to undo."""

    kind: JobKind
    ended: Instant
    error: str | None = None
    diverged: Diverged | None = None


class PeerAnswer(Struct, frozen=True, kw_only=True):
    """What a member said when asked at `asked`; `report` is None if it did not answer in time."""

    asked: Instant
    report: PeerReport | None
    problem: str = ""


class StreamCut(Struct, frozen=True, kw_only=True):
    """A server whose old stream was cut: `process` had no upstream any more and no receiver `at`
    this instant. `floor` is the store's revision at which no leader was there: this node follows
    none that is older."""

    process: str
    floor: Epoch
    at: Instant


class View(Struct, frozen=True, kw_only=True):
    """The node, the cluster and the clock at one instant.

    `pending` names the store writes in flight, so that none is sent twice. `server` is the last
    answer of PostgreSQL of the process that runs now, None if that one has not answered yet;
    `server_seen` is when it was asked. `last_words` are the last complaints of a server that ended.
    `forks` are the switches on the way to a primary's timeline, by PostgreSQL's own history file.
    `kept` is what lies beside the data directory. `made_slots` are the slots that were made from
    here, whether they are still there or not.
    `cut` is the last cut of a stream, until another upstream was configured. `caught_up` says that
    the local replica holds everything that was committed before this agent started.
    `stopping` says that the operator ends this agent. `wish` is the latest that was asked of the
    server here. `doomed` is why it would not start again, were it stopped now for the restart whose
    time has come.
    """

    now: Instant
    wall: float
    me: Identity
    raft: RaftStatus
    cluster: Cluster
    guardian: GuardianView
    directory: DataDirectory
    lease: HeldLease | None = None
    server: ServerStatus | None = None
    server_seen: Instant | None = None
    server_problem: str = ""
    last_words: str = ""
    forks: tuple[TimelineSwitch, ...] = ()
    kept: tuple[Kept, ...] = ()
    made_slots: frozenset[str] = frozenset()
    peers: Mapping[MemberName, PeerAnswer] = field(default_factory=dict)
    job: JobView | None = None
    finished: JobResult | None = None
    pending: frozenset[str] = frozenset()
    cut: StreamCut | None = None
    caught_up: bool = True
    stopping: bool = False
    wish: ServerWish | None = None
    doomed: str = ""

    @property
    def restart_wished(self) -> bool:
        """The very server that runs is to be restarted: it was just asked for, or its time came."""
        scheduled = self.cluster.scheduled_restarts.get(self.me.name)
        if scheduled is not None and scheduled.process and not scheduled.refused:
            return self.guardian.running and self.guardian.process == scheduled.process
        wish = self.wish
        if wish is None or wish.kind is not WishKind.RESTART:
            return False
        if remaining(wish.until, self.now) <= 0:
            return False
        return self.guardian.running and self.guardian.process == wish.process
