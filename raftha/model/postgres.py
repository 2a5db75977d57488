"""What is known of a PostgreSQL server and its data directory, and what is wanted of it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from raftha.instants import Seconds
from raftha.model.ids import Lsn, SystemId, Timeline
from raftha.model.settings import Address


def version_text(number: int) -> str:
    """150018 as 15.18."""
    return f"{number // 10000}.{number % 10000}"


class DirectoryState(StrEnum):
    """What lies at `postgresql.data_dir`."""

    ABSENT = "absent"
    EMPTY = "empty"
    PRESENT = "present"
    FOREIGN = "foreign"  # not empty, and not a data directory of PostgreSQL
    UNREADABLE = "unreadable"


class ControlState(StrEnum):
    """The cluster state that pg_control records."""

    STARTING_UP = "starting up"
    SHUT_DOWN = "shut down"
    SHUT_DOWN_IN_RECOVERY = "shut down in recovery"
    SHUTTING_DOWN = "shutting down"
    CRASH_RECOVERY = "in crash recovery"
    ARCHIVE_RECOVERY = "in archive recovery"
    PRODUCTION = "in production"


class ControlData(Struct, frozen=True, kw_only=True):
    """pg_controldata, the part that decisions rest on."""

    system_id: SystemId
    state: ControlState
    checkpoint: Lsn
    redo: Lsn
    timeline: Timeline
    minimum_recovery_end: Lsn
    minimum_recovery_timeline: Timeline
    checksums: bool
    wal_log_hints: bool
    max_connections: int
    max_worker_processes: int
    max_wal_senders: int
    max_prepared_transactions: int
    max_locks_per_transaction: int

    @property
    def was_primary(self) -> bool:
        """The last run was as a primary."""
        return self.state in (
            ControlState.SHUT_DOWN,
            ControlState.SHUTTING_DOWN,
            ControlState.PRODUCTION,
            ControlState.CRASH_RECOVERY,
        )


class DataDirectory(Struct, frozen=True, kw_only=True):
    """A data directory as it lies on disk; `problem` says what is wrong with it, for people.
    `unborn` says that it was made here for a cluster that was never announced, `in_one_go` that
    nobody but the attempt that made it may go on with it, `recovery_signal` that a recovery from an
    archive was begun and has not ended; `closed`, that its pg_hba.conf lets no session in but the
    agent's; `from_backup`, that a program made it, and it has followed no leader since.
    `birth` is that of the cluster that it was last part of; empty if it never was part of one.
    `stranger` is the process number of a server
    that raftha did not start and is to take over. Of SIZES, `original` are those that the
    configuration from before raftha asks for, `altered` those of ALTER SYSTEM, which always win."""

    path: Path
    state: DirectoryState
    major: int | None = None
    control: ControlData | None = None
    standby_signal: bool = False
    backup_label: bool = False
    unborn: bool = False
    in_one_go: bool = False
    recovery_signal: bool = False
    closed: bool = False
    birth: str = ""
    from_backup: bool = False
    stranger: int | None = None
    original: Mapping[str, int] = field(default_factory=dict)
    altered: Mapping[str, int] = field(default_factory=dict)
    problem: str | None = None

    @property
    def of_primary(self) -> bool:
        """What lies there was a primary, and nobody has made a standby of it since."""
        return self.control is not None and self.control.was_primary and not self.standby_signal


class SyncState(StrEnum):
    """`pg_stat_replication.sync_state`."""

    ASYNC = "async"
    POTENTIAL = "potential"
    SYNC = "sync"
    QUORUM = "quorum"


class Attached(Struct, frozen=True, kw_only=True):
    """A row of pg_stat_replication: a standby attached to this server."""

    application_name: str
    state: str
    sync_state: SyncState
    flush: Lsn | None
    replay: Lsn | None
    pid: int


class StrainedSlot(Struct, frozen=True, kw_only=True):
    """A slot that has used up four fifths of the WAL that it may keep (`max_slot_wal_keep_size`),
    or that has lost what it kept: then `left_bytes` is 0."""

    name: str
    kept_bytes: int
    left_bytes: int

    @property
    def is_lost(self) -> bool:
        return self.left_bytes == 0


class SlotState(Struct, frozen=True, kw_only=True):
    """A lasting slot. `position` is where it begins to keep WAL (physical), or up to where its
    reader has confirmed (logical); `restart` is the former for both. A logical slot has `plugin`
    and `database`, and keeps rows of the catalog from `catalog_xmin` on. The ages say of how many
    transactions vacuum has to leave the dead rows, all of them or those of the catalog. `lost` says
    that it is of no use any more: WAL or rows that it ought to keep are gone. `failover` and
    `synced` are PostgreSQL 17's: it is copied to standbys, it is such a copy."""

    name: str
    position: Lsn | None = None
    restart: Lsn | None = None
    plugin: str = ""
    database: str = ""
    active: bool = False
    lost: bool = False
    xmin_age: int | None = None
    catalog_xmin: int | None = None
    catalog_xmin_age: int | None = None
    failover: bool = False
    synced: bool = False

    @property
    def is_logical(self) -> bool:
        return self.plugin != ""

    @property
    def has_xmin(self) -> bool:
        """It holds back the removal of dead rows."""
        return self.xmin_age is not None or self.catalog_xmin is not None


class HeldRows(Struct, frozen=True, kw_only=True):
    """Dead rows that vacuum has to leave for the reader of a slot: those of the last so many
    transactions. `catalog` says that only rows of the system catalogs are meant."""

    slot: str
    transactions: int
    catalog: bool = False


class Receiver(Struct, frozen=True, kw_only=True):
    """The row of pg_stat_wal_receiver of a standby."""

    status: str
    host: str | None
    port: int | None
    slot: str | None
    pid: int


class ReplayPause(StrEnum):
    """`pg_get_wal_replay_pause_state()`."""

    NOT_PAUSED = "not paused"
    PAUSE_REQUESTED = "pause requested"
    PAUSED = "paused"


SIZES: Final = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)
"""The parameters that a standby must not have lower than its primary: its replay would stop."""


DEFAULT_SIZES: Final[Mapping[str, int]] = {
    "max_connections": 100,
    "max_worker_processes": 8,
    "max_wal_senders": 16,
    "max_prepared_transactions": 0,
    "max_locks_per_transaction": 64,
}
"""Those that nobody sets."""


def default_size(name: str, original: Mapping[str, int], last: int) -> int:
    """What one of SIZES is to be that nobody sets any more, or ever did, on a server that ran with
    `last`. What the configuration from before raftha asked for stays, as far as it was in force:
    the transactions and connections of those who use it rest on it."""
    return max(DEFAULT_SIZES[name], min(original.get(name, 0), last))


class PendingRestart(Struct, frozen=True, kw_only=True):
    """A parameter that takes a restart to get from the value it runs with to the one wanted; the
    values as PostgreSQL shows them. `waits_for` are the members that have to restart before."""

    name: str
    running: str
    wanted: str
    waits_for: tuple[str, ...] = ()

    def __str__(self) -> str:
        waits = f", once {' and '.join(self.waits_for)} were" if self.waits_for else ""
        return f"{self.name} {self.running} -> {self.wanted}{waits}"


class ServerSetup(Struct, frozen=True, kw_only=True):
    """Settings of a server that matter to a cluster, and what its roles may do: of `login`,
    `replication`, `superuser`, and `valid` for a password that has not run out."""

    settings: Mapping[str, str]
    roles: Mapping[str, frozenset[str]]


class ServerStatus(Struct, frozen=True, kw_only=True):
    """A running server's answer to one round of queries.

    `written` is a primary's current WAL position, `flushed` what of it is on disk; `received` (None
    until a receiver has run, which is *unknown*, never *low*) and `replayed` are a standby's.
    `replay_waits` says that replay has come to the end of the WAL that is here, `restores` that a
    restore_command is set.
    `timeline` is the one written or, on a standby, the one last received or replayed. `slots` are
    the names of the lasting physical slots, `slot_states` tells of each lasting slot. `redo` is
    where recovery would begin: a slot made now keeps WAL from there. `sizes` are the values of
    SIZES that it runs with.
    """

    version: int  # server_version_num, such as 150018
    system_id: SystemId
    in_recovery: bool
    timeline: Timeline
    started: str  # pg_postmaster_start_time, as text
    written: Lsn | None = None
    flushed: Lsn | None = None
    received: Lsn | None = None
    replayed: Lsn | None = None
    replayed_at: str | None = None  # when the last transaction replayed was committed, as text
    replay_pause: ReplayPause = ReplayPause.NOT_PAUSED
    replay_waits: bool = False
    replay_lag_seconds: Seconds | None = None
    receiver: Receiver | None = None
    restores: bool = False
    attached: tuple[Attached, ...] = ()
    slots: tuple[str, ...] = ()
    slot_states: tuple[SlotState, ...] = ()
    strained_slots: tuple[StrainedSlot, ...] = ()
    redo: Lsn | None = None
    wal_level: str = ""
    synchronous_standby_names: str = ""
    conf_loaded: str = ""  # pg_conf_load_time, as text
    pending_restart: tuple[PendingRestart, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_primary(self) -> bool:
        return not self.in_recovery

    @property
    def position(self) -> Lsn | None:
        """The newest WAL this server holds; None if that cannot be said: a restarted standby that
        has received nothing yet may hold more than it has replayed, until its replay waits."""
        if self.is_primary:
            return self.written
        if self.received is None and not self.replay_waits:
            return None
        known = [lsn for lsn in (self.received, self.replayed) if lsn is not None]
        return max(known) if known else None


class ServerRole(StrEnum):
    PRIMARY = "primary"
    STANDBY = "standby"


class Upstream(Struct, frozen=True, kw_only=True):
    """Where a standby streams from, through which slot, under which application name."""

    address: Address
    slot: str | None
    application_name: str


class ServerPlan(Struct, frozen=True, kw_only=True):
    """How a server is to be configured: the input from which every file of it is rendered.

    A standby without `upstream` replays what it has and serves reads. `closed` keeps every
    session but the local superuser's out by pg_hba.conf, and lets the standbys' streams in.
    `limits` are the values of SIZES above which a primary's standbys could not replay its WAL.
    `logical` says that logical slots are to outlive a failover; a primary then sends their readers
    only what is held by those who stream through `awaited` (PostgreSQL 17). `birth` says which
    cluster the directory is part of from now on; empty if that is not to be changed. A standby that
    is `archive_only` gets its WAL by restore_command, and never has an `upstream`. One that
    `recovers` is what a bootstrap restored, which goes on as a primary at the end of its recovery.
    """

    role: ServerRole
    upstream: Upstream | None = None
    synchronous_standby_names: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    pg_hba: tuple[str, ...] = ()
    pg_ident: tuple[str, ...] = ()
    closed: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)
    logical: bool = False
    awaited: tuple[str, ...] = ()
    birth: str = ""
    archive_only: bool = False
    recovers: bool = False


class Binaries(Struct, frozen=True, kw_only=True):
    """A PostgreSQL installation found on this machine. `names` are the other names of programs by
    PostgreSQL's own."""

    bin_dir: Path
    major: int
    version: str
    origin: str  # "configured", "system", "path" or "embedded"
    names: Mapping[str, str] = field(default_factory=dict)

    def program(self, name: str) -> str:
        """The path of the program that PostgreSQL calls so."""
        return str(self.bin_dir / self.names.get(name, name))


class Copied(Struct, frozen=True, kw_only=True):
    """How far a copy is; the total is an estimate that may grow."""

    done_bytes: int
    total_bytes: int


class Kept(Struct, frozen=True, kw_only=True):
    """A directory kept beside the data directory: evidence, for people to remove."""

    path: Path
    size_bytes: int


class TimelineSwitch(Struct, frozen=True, kw_only=True):
    """A line of a `.history` file: this timeline ended at `switch`."""

    timeline: Timeline
    switch: Lsn
    reason: str = ""
