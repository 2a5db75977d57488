"""The Raft directory of a survivor: read without a change, then replaced by one rename.

The new file is made whole beside the old one, and the old one is copied to a folder of its own;
only then does the new one take its name. So a crash at any step leaves the old state or the new
one, and what a step that was cut short left behind is made again by the next attempt. Nothing is
ever removed but what an attempt made for itself.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from raftha.clock import Clock
from raftha.consensus import dirlock, salvage
from raftha.consensus.remains import Beginning, NotRecoverable
from raftha.consensus.stable import Origin, Owner, Persisted
from raftha.consensus.storage import FILE_NAME, SqliteStore
from raftha.errors import StorageFailed
from raftha.files import rename, replace, sync_directory

KEPT_PREFIX: Final = "raft-before-recovery-"
NOTE_NAME: Final = "raft.recovered"
_MAKING: Final = "raft-recovery.tmp"
_COPYING: Final = "raft-before-recovery.tmp"
_TAILS: Final = ("-wal", "-shm", "-journal")


def _no_step(_done: str) -> None:
    """Nobody follows the steps."""


class SurvivorDirectory:
    """One Raft directory, held by this process from `open` to `close`. Every method raises
    StorageFailed."""

    def __init__(self, directory: Path, owner: Owner, clock: Clock) -> None:
        self._directory = directory
        self._owner = owner
        self._clock = clock
        self._lock: int | None = None

    def open(self) -> None:
        """Hold the directory. Raises NotRecoverable where none is, or where it is void."""
        if not (self._directory / FILE_NAME).is_file():
            raise NotRecoverable(f"there is no Raft log in {self._directory}: nothing to recover")
        owner = (self._directory / FILE_NAME).stat().st_uid
        if owner != os.geteuid():
            raise NotRecoverable(
                f"{self._directory} belongs to user id {owner}: run this as that user, or the "
                "agent could not read what it leaves"
            )
        with _failing(self._directory, "open"):
            self._lock = dirlock.take(self._directory)
        if salvage.is_condemned(self._directory):
            self.close()
            raise NotRecoverable(
                f"{self._directory / salvage.VOID_NAME} says that this directory must not be "
                "voted from: recover on a node whose directory is sound"
            )

    def close(self) -> None:
        """Let go. Safe to call twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def read(self) -> Persisted:
        """Everything that is durable, read from a copy elsewhere: nothing changes here. Raises
        NotRecoverable if it is damaged, of another format or another node's."""
        with (
            TemporaryDirectory(prefix="raftha-recovery-") as folder,
            _failing(self._directory, "read"),
        ):
            for name in (FILE_NAME, f"{FILE_NAME}-wal"):
                if (self._directory / name).exists():
                    shutil.copyfile(self._directory / name, Path(folder) / name)
            store = self._store(Path(folder), "unused")
            try:
                persisted = store.load()
            except StorageFailed as error:
                said = str(error).replace(folder, str(self._directory))
                raise NotRecoverable(said) from error
            finally:
                store.close()
        if persisted.put_aside is not None:
            why = persisted.put_aside.partition(" (now in ")[0]
            raise NotRecoverable(why.replace(folder, str(self._directory)))
        return persisted

    def put_in_place(
        self,
        beginning: Beginning,
        incarnation: str,
        note: str,
        step: Callable[[str], object] = _no_step,
    ) -> Path:
        """Let the directory begin anew with this; where the old content is kept. `note` is laid
        beside that, for people. `step` hears what has just been done."""
        with _failing(self._directory, "recover"):
            made = self._make(beginning, incarnation)
            step("the new Raft log is written")
            self._settle()
            step("the old Raft log is in one file")
            kept = self._keep(note)
            step(f"the old Raft log is kept in {kept}")
            os.rename(made, self._directory / FILE_NAME)
            sync_directory(self._directory)
            step("the new Raft log is in place")
            shutil.rmtree(made.parent, ignore_errors=True)
        return kept

    def _store(self, directory: Path, incarnation: str) -> SqliteStore:
        return SqliteStore(
            directory,
            owner=self._owner,
            clock=self._clock,
            new_incarnation=incarnation,
            measure_free=lambda _directory: None,
        )

    def _make(self, beginning: Beginning, incarnation: str) -> Path:
        """The new file, durable, under a name that no start looks for."""
        folder = _fresh(self._directory / _MAKING)
        store = self._store(folder, incarnation)
        store.load()
        store.stage(Origin.RECEIVED, beginning.snapshot, first=True)
        store.replace(beginning.entries)
        store.save_ballot(beginning.term, None)
        store.close()
        _require_one_file(folder)
        _sync_file(folder / FILE_NAME)
        sync_directory(folder)
        return folder / FILE_NAME

    def _settle(self) -> None:
        """Move what is in SQLite's write-ahead log into the file: left there, it would be taken for
        the new file's."""
        connection = sqlite3.connect(self._directory / FILE_NAME, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.close()
        _require_one_file(self._directory)
        _sync_file(self._directory / FILE_NAME)

    def _keep(self, note: str) -> Path:
        """A copy of the old file, durable, under the first free number."""
        folder = _fresh(self._directory / _COPYING)
        shutil.copyfile(self._directory / FILE_NAME, folder / FILE_NAME)
        os.chmod(folder / FILE_NAME, 0o600)
        _sync_file(folder / FILE_NAME)
        replace(folder / NOTE_NAME, note.encode())
        names = (self._directory / f"{KEPT_PREFIX}{number}" for number in count(1))
        kept = next(name for name in names if not name.exists())
        rename(folder, kept)
        return kept


def _fresh(folder: Path) -> Path:
    """An empty folder in place of one that an earlier attempt left."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    return folder


def _require_one_file(folder: Path) -> None:
    """SQLite removes what lies beside its file when the last connection is closed well."""
    for tail in _TAILS:
        left = folder / f"{FILE_NAME}{tail}"
        if left.exists() and left.stat().st_size:
            raise StorageFailed(f"{left} was not taken into {FILE_NAME}: nothing was changed")


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _failing(directory: Path, action: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StorageFailed(f"{directory}: {action} failed: {error}") from error
