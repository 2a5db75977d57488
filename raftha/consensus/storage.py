"""What a voter must remember: its log, term, vote, snapshot and identity, in one SQLite file.

Writes gather in one transaction, and `sync` makes them durable: a message that reflects a write may
leave this host only after `sync` has returned. So one disk wait serves everything that one step of
the node wrote (group commit).

Any failure is `StorageFailed`, and the process must stop at once: after a failed write or sync
nobody knows what the disk holds, and a voter that goes on guessing can vote twice in a term. The
commit index is not here: Raft finds it again after a restart, and a stored one could run ahead of
a log that lost its end.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from raftha.clock import Clock
from raftha.consensus import medium
from raftha.consensus.latency import SyncClock
from raftha.consensus.state import LogEntry
from raftha.errors import StorageFailed
from raftha.files import sync_directory
from raftha.model.store import FsyncTimes

FILE_NAME: Final = "raft.sqlite"
LOCK_NAME: Final = "raft.lock"
_FORMAT: Final = 1

_SCHEMA: Final = (
    "CREATE TABLE identity (id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL,"
    " incarnation TEXT NOT NULL, boot INTEGER NOT NULL)",
    "CREATE TABLE ballot (id INTEGER PRIMARY KEY CHECK (id = 1), term INTEGER NOT NULL,"
    " vote TEXT, crc INTEGER NOT NULL)",
    "CREATE TABLE log (idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, command BLOB NOT NULL,"
    " crc INTEGER NOT NULL)",
    "CREATE TABLE snapshot (id INTEGER PRIMARY KEY CHECK (id = 1), body BLOB NOT NULL)",
    "CREATE TABLE voters (address TEXT PRIMARY KEY, name TEXT NOT NULL, incarnation TEXT NOT NULL)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Voter:
    """Who answers at an address: a name, and the life of the Raft directory behind it."""

    name: str
    incarnation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Persisted:
    """Everything that was durable when the store was opened."""

    incarnation: str
    boot: int
    term: int = 0
    vote: str | None = None
    entries: tuple[LogEntry, ...] = ()
    snapshot: bytes | None = None
    voters: Mapping[str, Voter] = field(default_factory=dict)


class StableStore(Protocol):
    """Durable state of one voter. Every method may raise StorageFailed, which is final."""

    def load(self) -> Persisted:
        """Read everything, checked. The boot number is raised, durably, by each load."""

    def append(self, entry: LogEntry) -> None:
        """Add the entry that follows the last one."""

    def truncate(self, first_index: int) -> None:
        """Drop this entry and all after it."""

    def save_ballot(self, term: int, vote: str | None) -> None:
        """Remember the term and the vote given in it."""

    def replace(self, snapshot: bytes, entries: Sequence[LogEntry]) -> None:
        """Put a snapshot and the whole log that goes with it in place of the present ones."""

    def compact(self, snapshot: bytes, first_index: int) -> None:
        """Put a snapshot in place and drop the entries before `first_index`."""

    def save_voter(self, address: str, voter: Voter | None) -> None:
        """Remember who answers at an address; None forgets it."""

    def sync(self) -> None:
        """Make everything written so far durable, or fail."""

    def fsync_times(self) -> FsyncTimes:
        """How long syncs took that had something to do. From any thread."""

    @property
    def free_bytes(self) -> int | None:
        """Space that was left on the disk at the last sync; None if unknown."""

    def close(self) -> None:
        """Sync and let go."""


class SqliteStore:
    """`StableStore` in `<directory>/raft.sqlite`; one process at a time (flock)."""

    def __init__(
        self,
        directory: Path,
        *,
        clock: Clock,
        new_incarnation: str,
        measure_free: Callable[[Path], int | None] = medium.free_bytes,
        synced: Callable[[float], object] = lambda _seconds: None,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._new_incarnation = new_incarnation
        self._measure_free = measure_free
        self._synced = synced
        self._connection: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._dirty = False
        self._sync_clock = SyncClock()
        self._free_bytes: int | None = None

    def load(self) -> Persisted:
        with self._failing("open"):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take_lock()
            self._connect()
            if not self._query("SELECT 1 FROM sqlite_master WHERE name = 'identity'"):
                self._create()
            self._check_file()
            persisted = self._read()
            self._write("UPDATE identity SET boot = ?", persisted.boot)
            self.sync()
        return persisted

    def append(self, entry: LogEntry) -> None:
        with self._failing("append"):
            self._insert(entry)

    def truncate(self, first_index: int) -> None:
        with self._failing("truncate"):
            self._write("DELETE FROM log WHERE idx >= ?", first_index)

    def save_ballot(self, term: int, vote: str | None) -> None:
        with self._failing("vote"):
            crc = _ballot_crc(term, vote)
            self._write("UPDATE ballot SET term = ?, vote = ?, crc = ?", term, vote, crc)

    def replace(self, snapshot: bytes, entries: Sequence[LogEntry]) -> None:
        with self._failing("snapshot"):
            self._write("INSERT OR REPLACE INTO snapshot VALUES (1, ?)", snapshot)
            self._write("DELETE FROM log")
            for entry in entries:
                self._insert(entry)

    def compact(self, snapshot: bytes, first_index: int) -> None:
        with self._failing("compact"):
            self._write("INSERT OR REPLACE INTO snapshot VALUES (1, ?)", snapshot)
            self._write("DELETE FROM log WHERE idx < ?", first_index)

    def save_voter(self, address: str, voter: Voter | None) -> None:
        with self._failing("voters"):
            self._write("DELETE FROM voters WHERE address = ?", address)
            if voter is not None:
                row = (address, voter.name, voter.incarnation)
                self._write("INSERT INTO voters VALUES (?, ?, ?)", *row)

    def sync(self) -> None:
        if not self._dirty:
            return
        started = self._clock.now().raw
        with self._failing("sync"):
            self._check_space()
            self._open_connection().execute("COMMIT")
        self._dirty = False
        ended = self._clock.now().raw
        self._sync_clock.add(ended, ended - started)
        self._synced(ended - started)

    def fsync_times(self) -> FsyncTimes:
        return self._sync_clock.times(self._clock.now().raw)

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

    def _check_space(self) -> None:
        """Stop while there is still room to say why, and for PostgreSQL to end its own work."""
        free = self._free_bytes = self._measure_free(self._directory)
        if free is not None and free < medium.STOP_FLOOR_BYTES:
            raise StorageFailed(
                f"{free >> 20} MiB are free where {self._directory} lies, below the floor of "
                f"{medium.STOP_FLOOR_BYTES >> 20} MiB: this node votes no more rather than fill "
                f"the disk; free {medium.START_FLOOR_BYTES >> 20} MiB there and start it again"
            )

    def _take_lock(self) -> None:
        self._lock = os.open(
            self._directory / LOCK_NAME, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            self._lock = None
            raise StorageFailed(
                f"{self._directory} is in use by another raftha process: stop that one first, "
                "or give this node a raft.data_dir of its own"
            ) from None

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
        self._write("INSERT INTO identity VALUES (1, ?, ?, 0)", _FORMAT, self._new_incarnation)
        self._write("INSERT INTO ballot VALUES (1, 0, NULL, ?)", _ballot_crc(0, None))
        self.sync()
        sync_directory(self._directory)

    def _check_file(self) -> None:
        rows = self._query("PRAGMA quick_check")
        if rows != [("ok",)]:
            raise self._damaged(str(rows[0][0]))

    def _read(self) -> Persisted:
        identity = self._query("SELECT format, incarnation, boot FROM identity")
        ballot = self._query("SELECT term, vote, crc FROM ballot")
        if len(identity) != 1 or len(ballot) != 1:
            raise self._damaged("identity, term or vote is missing")
        file_format, incarnation, boot = identity[0]
        if file_format != _FORMAT:
            raise StorageFailed(
                f"{self._directory / FILE_NAME} has format {file_format}, this release reads "
                f"{_FORMAT}: use the release that wrote it"
            )
        term, vote, crc = ballot[0]
        if crc != _ballot_crc(term, vote):
            raise self._damaged("wrong checksum of term and vote")
        snapshot = self._query("SELECT body FROM snapshot")
        voters = self._query("SELECT address, name, incarnation FROM voters")
        return Persisted(
            incarnation=incarnation,
            boot=boot + 1,
            term=term,
            vote=vote,
            entries=self._read_log(bool(snapshot)),
            snapshot=snapshot[0][0] if snapshot else None,
            voters={row[0]: Voter(name=row[1], incarnation=row[2]) for row in voters},
        )

    def _read_log(self, has_snapshot: bool) -> tuple[LogEntry, ...]:
        entries: list[LogEntry] = []
        for index, term, command, crc in self._query(
            "SELECT idx, term, command, crc FROM log ORDER BY idx"
        ):
            entry = LogEntry(command, index, term)
            if crc != _entry_crc(entry):
                raise self._damaged(f"wrong checksum of log entry {index}")
            if entries and index != entries[-1].index + 1:
                raise self._damaged(f"log entries between {entries[-1].index} and {index} are gone")
            entries.append(entry)
        if entries and entries[0].index > 1 and not has_snapshot:
            raise self._damaged("the log begins late and there is no snapshot")
        if has_snapshot and len(entries) < 2:
            raise self._damaged("there is a snapshot, but no log")
        return tuple(entries)

    def _insert(self, entry: LogEntry) -> None:
        row = (entry.index, entry.term, entry.command, _entry_crc(entry))
        self._write("INSERT INTO log VALUES (?, ?, ?, ?)", *row)

    def _write(self, statement: str, *values: object) -> None:
        connection = self._open_connection()
        if not self._dirty:
            connection.execute("BEGIN IMMEDIATE")
            self._dirty = True
        connection.execute(statement, values)

    def _query(self, statement: str) -> list[tuple[Any, ...]]:
        return self._open_connection().execute(statement).fetchall()

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StorageFailed(f"{self._directory}: the store is not open")
        return self._connection

    def _damaged(self, what: str) -> StorageFailed:
        return StorageFailed(
            f"{self._directory / FILE_NAME} is damaged: {what}. Do not repair it: a voter without "
            "its votes is dangerous; give the machine a new address in every node's member list"
        )

    @contextmanager
    def _failing(self, action: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise StorageFailed(f"{self._directory}: {action} failed: {error}") from error
            raise self._damaged(str(error)) from error
        except OSError as error:
            raise StorageFailed(f"{self._directory}: {action} failed: {error}") from error


def _ballot_crc(term: int, vote: str | None) -> int:
    return zlib.crc32(f"{term} {vote}".encode())


def _entry_crc(entry: LogEntry) -> int:
    return zlib.crc32(entry.command, zlib.crc32(b"%d %d " % (entry.index, entry.term)))
