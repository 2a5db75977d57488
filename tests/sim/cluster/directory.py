"""A data directory of the made-up PostgreSQL: what outlives the server and the power."""

from __future__ import annotations

import errno
import os
from collections import Counter
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
from tests.sim.cluster.tuning import BORN, sizes_written
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
    """`plan` are the files as they were written last, `file_sizes` the sizes that came of it, and
    `sizes` those in pg_control, which holds what the WAL said up to `sized_until`; `slots` lie in
    `pg_replslot`. A disk that is hung or full does this to it; where it is full the WAL still finds
    `room` for so many bytes, and with `holds_ledger` it is the guardian's disk too. One that is
    read-only is full without any room, and lets no server start. `effects` is what came of faults
    here."""

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
    birth: str = ""
    is_to_promote: bool = False
    is_rewinding: bool = False
    is_unborn: bool = False
    is_hung: bool = False
    is_full: bool = False
    is_read_only: bool = False
    holds_ledger: bool = False
    room: int = 0
    sizes: dict[str, int] = field(default_factory=lambda: dict(BORN))
    sized_until: int = 0
    file_sizes: dict[str, int] = field(default_factory=lambda: dict(BORN))
    effects: Counter[str] = field(default_factory=Counter)

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
            birth=self.birth,
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
            **self.sizes,
        )

    def fill_up(self, room: int, *, holds_ledger: bool) -> None:
        """The disk is full from now on."""
        self.is_full, self.room, self.holds_ledger = True, room, holds_ledger

    def make_read_only(self, *, holds_ledger: bool) -> None:
        """Nothing can be written from now on."""
        self.fill_up(0, holds_ledger=holds_ledger)
        self.is_read_only = True

    def mend(self) -> None:
        """There is room again, and it may be written to."""
        self.is_full = self.is_read_only = False

    def require_space(self) -> None:
        """A file is to be written. Raises OSError."""
        if self.is_full:
            self.effects[f"writes refused by a {self._lack} disk"] += 1
            number = errno.EROFS if self.is_read_only else errno.ENOSPC
            raise OSError(number, os.strerror(number))

    @property
    def _lack(self) -> str:
        return "read-only" if self.is_read_only else "full"

    def takes_wal(self, size: int) -> bool:
        """Whether so many bytes of WAL find room; where they do not their writer aborts."""
        if not self.is_full:
            return True
        if size > self.room:
            return False
        self.room -= size
        return True

    def configure(self, plan: ServerPlan) -> bool:
        """Make the files fit the plan; whether any changed. A file that is as it should be is not
        written. Raises OSError."""
        sizes = sizes_written(plan, self._control())
        if self.plan == plan and self.file_sizes == sizes:
            return False
        self.require_space()
        self.plan, self.file_sizes = plan, sizes
        self.birth = plan.birth or self.birth
        return True

    def may_follow(self, source: Directory) -> bool:
        """Whether PostgreSQL lets it stream from there: by its numbers, and by the history files
        that its receiver gets."""
        if source.system != self.system or not self.wal.may_follow(source.wal):
            return False
        number, above = self.wal.number, source.wal.number
        is_complete = self.histories.fetch(source.histories, number, above)
        return is_complete and (number == above or self.histories.leads_on(number))

    def born(self, system: str, writer: str) -> None:
        """initdb."""
        self.system = system
        self.wal = Wal.born(writer)
        self.state = ControlState.SHUT_DOWN
        self.checkpoint, self.checkpoint_line = self.wal.last_record, 1
        self.recovered = self.recovered_line = 0
        self.histories.replace(HistoryFiles(), ())
        self.plan, self.standby_signal, self.birth = None, False, ""
        self.sizes, self.file_sizes, self.sized_until = dict(BORN), dict(BORN), self.wal.end

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
        self.sizes, self.sized_until = dict(source.sizes), self.wal.end
        self.standby_signal = True
        self.plan, self.birth = None, source.birth
        self.is_to_promote = self.is_rewinding = self.is_unborn = False
        self.slots.clear()
