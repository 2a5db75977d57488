"""Where everything of one instance lies. PURE.

Copies and evidence lie *beside* the data directory, on the same file system, because a directory
can be exchanged only by a rename. Nothing of raftha's own that must survive an exchange lies in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct

MARKED: Final = ".raftha"


class Layout(Struct, frozen=True, kw_only=True):
    """The paths around one data directory; a `stamp` is wall-clock text that names evidence.
    `attempt` tells the directory in the making of one job from those of all others."""

    data_dir: Path
    run_dir: Path
    attempt: str = "0"

    @property
    def passfile(self) -> Path:
        """Passwords for libpq; outside the data directory so that no base backup carries them."""
        return self.run_dir / "pgpass"

    @property
    def service_file(self) -> Path:
        """Passwords of keys for libpq; there only if there ever was one."""
        return self.run_dir / "pg_service.conf"

    @property
    def password_input(self) -> Path:
        """The superuser's password on its way to initdb; removed as soon as initdb ends."""
        return self.run_dir / "initdb-password"

    @property
    def copy(self) -> Path:
        """A directory in the making, renamed to `data_dir` once it is complete."""
        return self._beside(f".new-{self.attempt}")

    @property
    def copy_marker(self) -> Path:
        """Says that `copy` is ours: without it a directory of that name is never removed."""
        return self._beside(f".new-{self.attempt}{MARKED}")

    @property
    def work_lock(self) -> Path:
        """Held by the program that works on the data directory or on a copy."""
        return self.run_dir / "work.lock"

    @property
    def rewind_marker(self) -> Path:
        """While it exists, a rewind has begun and not ended: the directory must not be started."""
        return self._beside(".rewinding")

    @property
    def birth_marker(self) -> Path:
        """While it exists, `data_dir` was made by initdb for a cluster not announced yet."""
        return self._beside(".unborn")

    @property
    def slot_book(self) -> Path:
        """The names of the slots that raftha made in `data_dir`."""
        return self._beside(".slots")

    @property
    def staged_slots(self) -> Path:
        """The state of logical slots that the next start of a standby takes in."""
        return self.run_dir / "slots"

    def failed(self, stamp: str) -> Path:
        """Where a bootstrap that failed is kept."""
        return self._beside(f".failed-{stamp}")

    def diverged(self, stamp: str) -> Path:
        """Where a directory that had left the cluster's line is kept, once a copy replaced it."""
        return self._beside(f".diverged-{stamp}")

    def replaced(self, stamp: str) -> Path:
        """Where a directory is kept that a copy replaced for another reason: somebody asked for it,
        or WAL was missing."""
        return self._beside(f".replaced-{stamp}")

    def diverged_wal(self, stamp: str) -> Path:
        """Where the write-ahead log is kept that a rewind is about to undo."""
        return self._beside(f".diverged-wal-{stamp}")

    def _beside(self, suffix: str) -> Path:
        return self.data_dir.with_name(self.data_dir.name + suffix)
