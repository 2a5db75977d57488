"""What a voter must remember: its log, term, vote, snapshot and identity, in one SQLite file.

Writes gather in one transaction, and `sync` makes them durable: a message that reflects a write may
leave this host only after `sync` has returned. So one disk wait serves everything that one step of
the node wrote (group commit).

A directory that is found damaged at the start is put aside (`salvage.py`), and the node begins with
a new, empty one: it joins like a new machine. Any failure of a running voter is `StorageFailed`,
and the process must stop at once: after a failed write or sync nobody knows what the disk holds,
and a voter that goes on guessing can vote twice in a term. The commit index is not here: Raft finds
it again after a restart, and a stored one could run ahead of a log that lost its end.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from raftha.clock import Clock
from raftha.consensus import dirlock, medium, salvage, shelf
from raftha.consensus.latency import SyncClock
from raftha.consensus.marks import Mark
from raftha.consensus.records import (
    FORMAT,
    Damaged,
    FileReader,
    ballot_crc,
    damaged,
    entry_crc,
    mark_crc,
)
from raftha.consensus.shelf import Shelf
from raftha.consensus.stable import Origin, Owner, Persisted, Standing, Voter
from raftha.consensus.state import LogEntry
from raftha.errors import StorageFailed
from raftha.files import sync_directory
from raftha.model.store import FsyncTimes

FILE_NAME: Final = "raft.sqlite"
_UNREADABLE: Final = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
)

_SCHEMA: Final = (
    "CREATE TABLE identity (id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL,"
    " scope TEXT NOT NULL, name TEXT NOT NULL,"
    " incarnation TEXT NOT NULL, boot INTEGER NOT NULL, joining INTEGER NOT NULL,"
    " voter_since INTEGER)",
    "CREATE TABLE ballot (id INTEGER PRIMARY KEY CHECK (id = 1), term INTEGER NOT NULL,"
    " vote TEXT, crc INTEGER NOT NULL)",
    "CREATE TABLE log (idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, command BLOB NOT NULL,"
    " crc INTEGER NOT NULL)",
    *shelf.SCHEMA,
    "CREATE TABLE voters (address TEXT PRIMARY KEY, name TEXT NOT NULL, incarnation TEXT NOT NULL,"
    " witness INTEGER NOT NULL)",
    "CREATE TABLE marks (address TEXT PRIMARY KEY, incarnation TEXT NOT NULL,"
    " voted INTEGER NOT NULL, term INTEGER NOT NULL, idx INTEGER NOT NULL, crc INTEGER NOT NULL)",
)


class SqliteStore:
    """`StableStore` in `<directory>/raft.sqlite`; one process at a time (flock)."""

    def __init__(
        self,
        directory: Path,
        *,
        owner: Owner,
        clock: Clock,
        new_incarnation: str,
        measure_free: Callable[[Path], int | None] = medium.free_bytes,
        synced: Callable[[float], object] = lambda _seconds: None,
    ) -> None:
        self._directory = directory
        self._owner = owner
        self._clock = clock
        self._new_incarnation = new_incarnation
        self._measure_free = measure_free
        self._synced = synced
        self._connection: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._dirty = False
        self._waiting: list[LogEntry] = []
        self._sync_clock = SyncClock()
        self._shelf = Shelf(self._write)
        self._free_bytes: int | None = None

    def load(self) -> Persisted:
        with self._failing("open"):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = dirlock.take(self._directory)
        if salvage.is_condemned(self._directory):
            return self._begin_anew()
        try:
            return self._open()
        except Damaged as error:
            self._let_go()
            self.condemn(str(error))
            return self._begin_anew()

    def condemn(self, reason: str) -> None:
        with self._failing("condemn"):
            salvage.condemn(self._directory, reason)

    @property
    def is_dirty(self) -> bool:
        return self._dirty or bool(self._waiting)

    def append(self, entry: LogEntry) -> None:
        self._waiting.append(entry)

    def truncate(self, first_index: int) -> None:
        with self._failing("truncate"):
            self._write("DELETE FROM log WHERE idx >= ?", first_index)

    def save_ballot(self, term: int, vote: str | None) -> None:
        with self._failing("vote"):
            crc = ballot_crc(term, vote)
            self._write("UPDATE ballot SET term = ?, vote = ?, crc = ?", term, vote, crc)

    def stage(self, origin: Origin, part: bytes, *, first: bool) -> None:
        with self._failing("snapshot"):
            self._shelf.stage(origin, part, first=first)

    def replace(self, entries: Sequence[LogEntry]) -> None:
        first = entries[0].index
        with self._failing("snapshot"):
            self._shelf.put_in_use(Origin.RECEIVED, first)
            self._write("DELETE FROM log WHERE idx >= ?", first)
            self._insert(entries)

    def compact(self, first_index: int) -> None:
        with self._failing("compact"):
            self._shelf.put_in_use(Origin.OWN, first_index)

    def save_voter(self, address: str, voter: Voter | None) -> None:
        with self._failing("voters"):
            self._write("DELETE FROM voters WHERE address = ?", address)
            if voter is not None:
                row = (address, voter.name, voter.incarnation, voter.witness)
                self._write("INSERT INTO voters VALUES (?, ?, ?, ?)", *row)

    def save_marks(self, marks: Mapping[str, Mark]) -> None:
        with self._failing("marks"):
            for address, mark in marks.items():
                row = (address, mark.incarnation, mark.voted, mark.term, mark.index)
                crc = mark_crc(address, mark)
                self._write("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?, ?, ?)", *row, crc)

    def save_standing(self, standing: Standing) -> None:
        with self._failing("standing"):
            values = (standing.joining, standing.voter_since)
            self._write("UPDATE identity SET joining = ?, voter_since = ?", *values)

    def sync(self) -> None:
        if not self.is_dirty:
            return
        started = self._clock.raw()
        with self._failing("sync"):
            self._put_down()
            self._check_space()
            self._open_connection().execute("COMMIT")
        self._dirty = False
        ended = self._clock.raw()
        self._sync_clock.add(ended, ended - started)
        self._synced(ended - started)

    def fsync_times(self) -> FsyncTimes:
        return self._sync_clock.times(self._clock.raw())

    @property
    def free_bytes(self) -> int | None:
        return self._free_bytes

    def close(self) -> None:
        if self._connection is not None:
            self.sync()
            self._connection.close()
            self._connection = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _begin_anew(self) -> Persisted:
        with self._failing("put aside"):
            where, why = salvage.put_aside(self._directory, FILE_NAME)
        return replace(self._open(), put_aside=f"{why} (now in {where})")

    def _open(self) -> Persisted:
        """Connect and read everything. Raises Damaged if it is not whole, StorageFailed."""
        with self._failing("open"):
            self._connect()
            if not self._query("SELECT 1 FROM sqlite_master WHERE name = 'identity'"):
                self._create()
            self._shelf = Shelf(self._write)
            reader = self._reader()
            persisted = reader.read(self._shelf)
            if reader.is_anew:
                persisted = replace(persisted, incarnation=self._new_incarnation)
                ours = (self._owner.scope, self._owner.name, self._new_incarnation)
                self._write("UPDATE identity SET scope = ?, name = ?, incarnation = ?", *ours)
            self._write("UPDATE identity SET boot = ?", persisted.boot)
            self.sync()
        return persisted

    def _let_go(self) -> None:
        """Close a file that cannot be used, whatever SQLite says to it."""
        connection, self._connection = self._connection, None
        self._dirty = False
        self._waiting.clear()
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _check_space(self) -> None:
        """Stop while there is still room to say why, and for PostgreSQL to end its own work."""
        free = self._free_bytes = self._measure_free(self._directory)
        if free is not None and free < medium.STOP_FLOOR_BYTES:
            raise StorageFailed(
                f"{free >> 20} MiB are free where {self._directory} lies, below the floor of "
                f"{medium.STOP_FLOOR_BYTES >> 20} MiB: this node votes no more rather than fill "
                f"the disk; free {medium.START_FLOOR_BYTES >> 20} MiB there and start it again"
            )

    def _connect(self) -> None:
        path = self._directory / FILE_NAME
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection = connection
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")

    def _create(self) -> None:
        for statement in _SCHEMA:
            self._write(statement)
        new = (FORMAT, self._owner.scope, self._owner.name, self._new_incarnation)
        self._write("INSERT INTO identity VALUES (1, ?, ?, ?, ?, 0, 0, NULL)", *new)
        self._write("INSERT INTO ballot VALUES (1, 0, NULL, ?)", ballot_crc(0, None))
        self._write("INSERT INTO base VALUES (1, NULL, 1)")
        self.sync()
        sync_directory(self._directory)

    def _reader(self) -> FileReader:
        return FileReader(self._query, self._directory / FILE_NAME, self._owner)

    def _put_down(self) -> None:
        """Hand the appended entries to SQLite: late, so that a raft leader sends them first, and in
        order with every other write."""
        entries, self._waiting = self._waiting, []
        if entries:
            self._insert(entries)
            self._shelf.tidy(len(entries))

    def _insert(self, entries: Sequence[LogEntry]) -> None:
        rows = [(entry.index, entry.term, entry.command, entry_crc(entry)) for entry in entries]
        self._begin().executemany("INSERT INTO log VALUES (?, ?, ?, ?)", rows)

    def _write(self, statement: str, *values: object) -> None:
        self._put_down()
        self._begin().execute(statement, values)

    def _begin(self) -> sqlite3.Connection:
        connection = self._open_connection()
        if not self._dirty:
            connection.execute("BEGIN IMMEDIATE")
            self._dirty = True
        return connection

    def _query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return self._open_connection().execute(statement, values).fetchall()

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StorageFailed(f"{self._directory}: the store is not open")
        return self._connection

    @contextmanager
    def _failing(self, action: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            unreadable = getattr(error, "sqlite_errorcode", None) in _UNREADABLE
            if isinstance(error, sqlite3.OperationalError) and not unreadable:
                raise StorageFailed(f"{self._directory}: {action} failed: {error}") from error
            raise damaged(self._directory / FILE_NAME, str(error)) from error
        except OSError as error:
            raise StorageFailed(f"{self._directory}: {action} failed: {error}") from error
