"""A data directory of the made-up PostgreSQL: what outlives the server and the power."""

from __future__ import annotations

from collections.abc import Iterable
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
from raftha.pg import timeline
from tests.sim.cluster.wal import Wal

VERSION = 150018
MAJOR = 15


class HistoryFiles:
    """The history files in `pg_wal`, as the product and as PostgreSQL see them."""

    def __init__(self) -> None:
        self._texts: dict[Timeline, str] = {}

    # For the product.

    def numbers(self) -> tuple[Timeline, ...]:
        return tuple(sorted(self._texts))

    def read(self, number: Timeline) -> str:
        if number not in self._texts:
            raise FileNotFoundError(timeline.history_file(number))
        return self._texts[number]

    def write(self, number: Timeline, text: str, *, synced: bool) -> None:  # noqa: ARG002
        self._texts[number] = text

    def remove(self, numbers: Iterable[Timeline]) -> None:
        for number in numbers:
            del self._texts[number]

    # For PostgreSQL.

    def begin(self, wal: Wal) -> None:
        """A timeline begins here with the last piece of this log."""
        self._texts[Timeline(wal.number)] = timeline.render_history(wal.history)

    def free_above(self, number: int) -> int:
        """The number that a promotion takes: the first above that has no file."""
        return self._newest(number) + 1

    def leads_on(self, number: int) -> bool:
        """Recovery, which goes for the newest timeline that it finds, finds a way there."""
        newest = self._newest(number)
        switches = timeline.parse_history(self._texts.get(Timeline(newest), ""))
        return newest == number or any(s.timeline == number for s in switches)

    def fetch(self, source: HistoryFiles, first: int, last: int) -> bool:
        """What a receiver does before it streams: get the file of each number from its timeline's
        to its primary's, if it has none. Where the primary lacks one it ends: False."""
        for number in map(Timeline, range(max(2, first), last + 1)):
            if number in self._texts:
                continue
            if number not in source._texts:
                return False
            self._texts[number] = source._texts[number]
        return True

    def replace(self, source: HistoryFiles, numbers: Iterable[int]) -> None:
        """What a copy brings, instead of what is here."""
        self._texts = {n: source._texts[n] for n in map(Timeline, numbers) if n in source._texts}

    def _newest(self, number: int) -> int:
        while Timeline(number + 1) in self._texts:
            number += 1
        return number


class Directory(Struct, eq=False):
    """`plan` are the files as they were written last, `slots` lie in `pg_replslot`. `is_hung` is
    the disk's doing."""

    path: Path
    system: str = ""
    wal: Wal = field(default_factory=lambda: Wal([]))
    state: ControlState = ControlState.PRODUCTION
    plan: ServerPlan | None = None
    slots: set[str] = field(default_factory=set)
    histories: HistoryFiles = field(default_factory=HistoryFiles)
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
        self.histories = HistoryFiles()
        self.plan, self.standby_signal = None, False

    def back_up(self, source: Directory) -> None:
        """Become a base backup of a running server. Of the history files it has that of the
        timeline which was written meanwhile."""
        self.histories.replace(source.histories, (source.wal.number,))
        self._copy(source)

    def rewind(self, source: Directory) -> None:
        """Become what pg_rewind makes of this directory: it takes all of `pg_wal` over."""
        self.histories.replace(source.histories, source.histories.numbers())
        self._copy(source)

    def _copy(self, source: Directory) -> None:
        self.system = source.system
        self.wal = source.wal.copy()
        self.state = ControlState.ARCHIVE_RECOVERY
        self.checkpoint, self.checkpoint_line = source.checkpoint, source.checkpoint_line
        self.recovered, self.recovered_line = self.wal.end, self.wal.number
        self.standby_signal = True
        self.plan = None
        self.is_to_promote = self.is_rewinding = self.is_unborn = False
        self.slots.clear()
