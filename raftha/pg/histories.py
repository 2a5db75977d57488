"""The history files of a data directory: PostgreSQL's own, and those that only take a number.

PostgreSQL writes one for each timeline that it begins; it names the timelines on the way there. At
a promotion the first number without a file is taken, so a file that names nothing makes it skip a
number (R25). Placed here are only such files, and only they are removed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from raftha import files
from raftha.model.ids import Timeline
from raftha.model.postgres import ServerRole, TimelineSwitch
from raftha.pg import timeline


class Folder(Protocol):
    """The history files in a directory, by the numbers of their timelines. Raises OSError."""

    def numbers(self) -> tuple[Timeline, ...]: ...

    def read(self, number: Timeline) -> str:
        """Its text. Raises FileNotFoundError."""

    def write(self, number: Timeline, text: str, *, synced: bool) -> None: ...

    def remove(self, numbers: Iterable[Timeline]) -> None:
        """For good, when this returns."""


class PgWal:
    """The history files in `pg_wal`."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "pg_wal"

    def numbers(self) -> tuple[Timeline, ...]:
        found = (timeline.timeline_of_history(path.name) for path in self._path.glob("*.history"))
        return tuple(sorted(number for number in found if number is not None))

    def read(self, number: Timeline) -> str:
        return self._file(number).read_text(errors="replace")

    def write(self, number: Timeline, text: str, *, synced: bool) -> None:
        if synced:
            files.replace(self._file(number), text.encode())
        else:
            self._file(number).write_text(text)

    def remove(self, numbers: Iterable[Timeline]) -> None:
        for number in numbers:
            self._file(number).unlink()
        files.sync_directory(self._path)

    def _file(self, number: Timeline) -> Path:
        return self._path / timeline.history_file(number)


class Histories:
    """What is to be done with the history files before a server starts, and before it is promoted.
    Raises OSError."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def forks(self, number: Timeline) -> tuple[TimelineSwitch, ...]:
        """The switches on the way to this timeline; none without a file that can be read."""
        try:
            return timeline.parse_history(self._folder.read(number))
        except (OSError, ValueError):
            return ()

    def before_start(self, role: ServerRole, current: Timeline | None) -> bool:
        """Fit the files to the role of a server that is stopped; whether reservations were there
        that a standby must not find. `current` is the timeline by pg_control."""
        if role is ServerRole.STANDBY:
            return bool(self.clear())
        if current is not None:
            self.fill_gaps(current)
        return False

    def before_promotion(
        self, current: Timeline, burned: Iterable[Timeline]
    ) -> tuple[Timeline, ...]:
        """Reserve the burned numbers above `current`, right before a promotion, and let nobody who
        follows miss one below it; the numbers newly reserved."""
        self.fill_gaps(current)
        return self.reserve(current, burned)

    def reserve(self, current: Timeline, burned: Iterable[Timeline]) -> tuple[Timeline, ...]:
        """Have the coming promotion skip these numbers (R25); those newly reserved.

        Right before the promotion: a server that starts as a standby with such a file and without
        the history that follows it does not start, so `clear` undoes this.
        """
        missing = self._missing(timeline.to_reserve(current, burned))
        for number in missing:
            self._folder.write(number, timeline.PLACEHOLDER, synced=True)
        return missing

    def fill_gaps(self, current: Timeline) -> tuple[Timeline, ...]:
        """Have a file for every number below `current`, which this server writes or is about to
        leave; the numbers that had none.

        A receiver fetches one for each number between its own timeline and its primary's, and ends
        if one is missing (`WalRcvFetchTimeLineHistoryFiles` in walreceiver.c). A number that was
        burned has none, nor has one that was left before this directory was copied. What stands in
        it does not matter: the newest alone is read. Not synced, for each start of a primary does
        it again.
        """
        missing = self._missing(map(Timeline, range(2, current)))
        for number in missing:
            self._folder.write(number, timeline.PLACEHOLDER, synced=False)
        return missing

    def clear(self) -> tuple[Timeline, ...]:
        """Remove the reservations, and only them; the numbers freed. The server must be stopped.

        A receiver fetches from its primary again whatever history it misses.
        """
        numbers = self._folder.numbers()
        freed = tuple(n for n in numbers if self._folder.read(n) == timeline.PLACEHOLDER)
        if freed:
            self._folder.remove(freed)
        return freed

    def _missing(self, numbers: Iterable[Timeline]) -> tuple[Timeline, ...]:
        present = frozenset(self._folder.numbers())
        return tuple(number for number in numbers if number not in present)
