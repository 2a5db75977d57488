"""A data directory of the made-up PostgreSQL: what outlives the server and the power."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct, field

from raftha.model.ids import Lsn, SystemId, Timeline
from raftha.model.postgres import (
    ControlData,
    ControlState,
    DataDirectory,
    DirectoryState,
    ServerPlan,
)
from tests.sim.cluster.wal import Wal

VERSION = 150018
MAJOR = 15


class Directory(Struct, eq=False):
    """`plan` are the files as they were written last, `slots` lie in `pg_replslot`, `reserved` are
    the history files that only reserve a number. `is_hung` is the disk's doing."""

    path: Path
    system: str = ""
    wal: Wal = field(default_factory=lambda: Wal([]))
    state: ControlState = ControlState.PRODUCTION
    plan: ServerPlan | None = None
    slots: set[str] = field(default_factory=set)
    reserved: set[int] = field(default_factory=set)
    checkpoint: int = 0
    checkpoint_line: int = 1
    recovered: int = 0
    recovered_line: int = 0
    standby_signal: bool = False
    is_to_promote: bool = False
    is_rewinding: bool = False
    is_unborn: bool = False
    is_hung: bool = False

    @property
    def is_empty(self) -> bool:
        return not self.wal.pieces

    def look(self) -> DataDirectory:
        """What the agent finds when it looks into it."""
        if self.is_empty:
            return DataDirectory(path=self.path, state=DirectoryState.EMPTY)
        return DataDirectory(
            path=self.path,
            state=DirectoryState.PRESENT,
            major=MAJOR,
            control=self._control(),
            standby_signal=self.standby_signal,
            unborn=self.is_unborn,
            closed=self.plan is not None and self.plan.closed,
            problem="a rewind began and did not end" if self.is_rewinding else None,
        )

    def _control(self) -> ControlData:
        return ControlData(
            system_id=SystemId(self.system),
            state=self.state,
            checkpoint=Lsn(self.checkpoint),
            redo=Lsn(self.checkpoint),
            timeline=Timeline(self.checkpoint_line),
            minimum_recovery_end=Lsn(self.recovered),
            minimum_recovery_timeline=Timeline(self.recovered_line),
            checksums=True,
            wal_log_hints=True,
            max_connections=100,
            max_worker_processes=8,
            max_wal_senders=10,
            max_prepared_transactions=0,
            max_locks_per_transaction=64,
        )

    def born(self, system: str, writer: str) -> None:
        """initdb."""
        self.system = system
        self.wal = Wal.born(writer)
        self.state = ControlState.SHUT_DOWN
        self.checkpoint, self.checkpoint_line = self.wal.last_record, 1
        self.recovered = self.recovered_line = 0
        self.plan, self.standby_signal = None, False

    def become_copy(self, source: Directory, *, keep_slots: bool) -> None:
        """A base backup of a running server, or what pg_rewind makes of this directory."""
        self.system = source.system
        self.wal = source.wal.copy()
        self.state = ControlState.ARCHIVE_RECOVERY
        self.checkpoint, self.checkpoint_line = source.checkpoint, source.checkpoint_line
        self.recovered, self.recovered_line = self.wal.end, self.wal.number
        self.standby_signal = True
        self.plan = None
        self.is_to_promote = self.is_rewinding = self.is_unborn = False
        self.reserved.clear()
        if not keep_slots:
            self.slots.clear()
