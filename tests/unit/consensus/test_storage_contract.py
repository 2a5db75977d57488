"""One contract for the SQLite store and for the fake that the simulation uses; then what only the
real one has: a lock, a file that can be damaged, a process that can be killed."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from raftha.clock import SystemClock
from raftha.consensus.marks import Mark
from raftha.consensus.shelf import ENTRIES_A_TIDYING, ENTRIES_AT_A_TIME, PARTS_A_TIDYING
from raftha.consensus.stable import Origin, Owner, StableStore, Standing, Voter
from raftha.consensus.state import Head, Image, LogEntry, seal
from raftha.consensus.storage import FILE_NAME, SqliteStore
from raftha.errors import StorageFailed
from tests.sim.fakes import Disk, FakeStore

Reopen = Callable[[], StableStore]


OWNER = Owner(scope="s", name="n1")


def sqlite_store(directory: Path, incarnation: str = "new") -> SqliteStore:
    return SqliteStore(directory, owner=OWNER, clock=SystemClock(), new_incarnation=incarnation)


class LostPower:
    """Makes stores over one medium; what the last one did not sync is lost at the next `open`."""

    def __init__(self, kind: str, directory: Path) -> None:
        self._kind = kind
        self._directory = directory
        self._disk = Disk(incarnation="new")
        self._generation = 0
        self._previous: SqliteStore | None = None

    def open(self) -> StableStore:
        if self._kind == "fake":
            return FakeStore(self._disk)
        here = self._directory / str(self._generation)
        self._generation += 1
        there = self._directory / str(self._generation)
        if here.exists():
            shutil.copytree(here, there)
        self._previous = sqlite_store(there)
        return self._previous


@pytest.fixture(params=["fake", "sqlite"])
def medium(request: pytest.FixtureRequest, tmp_path: Path) -> LostPower:
    return LostPower(request.param, tmp_path)


def entries(first: int, last: int, term: int = 1) -> list[LogEntry]:
    return [LogEntry(b"c%d" % index, index, term) for index in range(first, last + 1)]


def filled(medium: LostPower, last: int = 5) -> StableStore:
    store = medium.open()
    store.load()
    for entry in entries(1, last):
        store.append(entry)
    store.sync()
    return store


def test_an_empty_store_has_an_identity_and_nothing_else(medium: LostPower) -> None:
    persisted = medium.open().load()
    assert persisted.incarnation == "new"
    assert (persisted.boot, persisted.term, persisted.vote) == (1, 0, None)
    assert persisted.entries == ()
    assert persisted.snapshot is None


def test_what_was_synced_is_there_again_and_the_boot_number_grows(medium: LostPower) -> None:
    store = filled(medium)
    store.save_ballot(3, "n2")
    store.save_voter("b:1", Voter(name="n2", incarnation="x"))
    store.sync()
    persisted = medium.open().load()
    assert list(persisted.entries) == entries(1, 5)
    assert (persisted.term, persisted.vote, persisted.boot) == (3, "n2", 2)
    assert persisted.voters == {"b:1": Voter(name="n2", incarnation="x")}


def test_what_was_not_synced_is_lost_as_a_whole(medium: LostPower) -> None:
    store = filled(medium)
    store.truncate(3)
    store.append(LogEntry(b"other", 3, 2))
    store.save_ballot(9, None)
    persisted = medium.open().load()
    assert list(persisted.entries) == entries(1, 5)
    assert persisted.term == 0


def test_a_cut_log_continues_with_what_is_appended(medium: LostPower) -> None:
    store = filled(medium)
    store.truncate(4)
    store.append(LogEntry(b"other", 4, 2))
    store.sync()
    assert list(medium.open().load().entries) == [*entries(1, 3), LogEntry(b"other", 4, 2)]


def sealed(first: int, term: int = 1) -> bytes:
    """A snapshot from which the log goes on after its entry `first` + 1."""
    previous, last = entries(first, first + 1, term=term)
    return seal(Image(Head(previous, last, b""), b"state"))


def stage(store: StableStore, origin: Origin, snapshot: bytes, parts: int = 3) -> None:
    """Write a snapshot down beside the one in use, each part synced for itself."""
    size = len(snapshot) // parts + 1
    for start in range(0, len(snapshot), size):
        store.stage(origin, snapshot[start : start + size], first=start == 0)
        store.sync()


def test_a_compaction_is_whole_or_not_at_all(medium: LostPower) -> None:
    store = filled(medium)
    stage(store, Origin.OWN, sealed(4))
    store.compact(4)
    before = medium.open()
    persisted = before.load()
    assert (persisted.snapshot, len(persisted.entries)) == (None, 5)

    stage(before, Origin.OWN, sealed(4))
    before.compact(4)
    before.sync()
    persisted = medium.open().load()
    assert persisted.snapshot == sealed(4)
    assert list(persisted.entries) == entries(4, 5)


def test_an_installed_snapshot_replaces_the_log(medium: LostPower) -> None:
    store = filled(medium)
    stage(store, Origin.RECEIVED, sealed(8, term=4))
    store.replace(entries(8, 9, term=4))
    store.sync()
    again = medium.open()
    persisted = again.load()
    assert persisted.snapshot == sealed(8, term=4)
    assert list(persisted.entries) == entries(8, 9, term=4)
    again.append(LogEntry(b"next", 10, 4))
    again.sync()
    assert list(medium.open().load().entries) == [*entries(8, 9, term=4), LogEntry(b"next", 10, 4)]


def test_a_tail_that_goes_on_from_an_installed_snapshot_stays(medium: LostPower) -> None:
    store = filled(medium, last=9)
    stage(store, Origin.RECEIVED, sealed(4))
    store.replace(entries(4, 9))
    store.sync()
    assert list(medium.open().load().entries) == entries(4, 9)


def test_a_snapshot_that_was_not_written_to_its_end_is_forgotten(medium: LostPower) -> None:
    """Two of them, one that this voter made and one that it was sent; both begin anew."""
    store = filled(medium, last=9)
    stage(store, Origin.OWN, sealed(2))
    store.compact(2)
    store.stage(Origin.OWN, b"the beginning of one", first=True)
    store.stage(Origin.RECEIVED, b"the beginning of another", first=True)
    store.sync()
    again = medium.open()
    persisted = again.load()
    assert persisted.snapshot == sealed(2)
    assert list(persisted.entries) == entries(2, 9)
    stage(again, Origin.RECEIVED, sealed(6))
    stage(again, Origin.OWN, sealed(4))
    again.compact(4)
    again.sync()
    assert medium.open().load().snapshot == sealed(4)


def test_what_a_directory_is_and_what_others_promised_is_kept(medium: LostPower) -> None:
    store = filled(medium)
    assert store.is_dirty is False
    store.save_standing(Standing(joining=True, voter_since=7))
    store.save_marks({"b:1": Mark(incarnation="x", voted=3, term=2, index=9)})
    assert store.is_dirty
    store.sync()
    persisted = medium.open().load()
    assert persisted.standing == Standing(joining=True, voter_since=7)
    assert persisted.marks == {"b:1": Mark(incarnation="x", voted=3, term=2, index=9)}


def test_a_condemned_directory_is_put_aside_at_the_next_start(medium: LostPower) -> None:
    store = filled(medium)
    store.condemn("an older copy")
    again = medium.open()
    persisted = again.load()
    assert persisted.entries == ()
    assert "an older copy" in (persisted.put_aside or "")
    again.close()
    assert medium.open().load().put_aside is None


def test_a_forgotten_voter_is_gone(medium: LostPower) -> None:
    store = filled(medium)
    store.save_voter("b:1", Voter(name="n2", incarnation="x"))
    store.save_voter("b:1", None)
    store.sync()
    assert medium.open().load().voters == {}


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    first = sqlite_store(tmp_path)
    first.load()
    with pytest.raises(StorageFailed, match="in use by another raftha"):
        sqlite_store(tmp_path).load()
    first.close()
    sqlite_store(tmp_path).load()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE log SET command = x'00' WHERE idx = 2", "checksum of log entry 2"),
        ("UPDATE log SET term = 7 WHERE idx = 2", "checksum of log entry 2"),
        ("DELETE FROM log WHERE idx = 2", "between 1 and 3 are gone"),
        ("DELETE FROM log WHERE idx = 1", "begins late"),
        ("UPDATE ballot SET term = 9", "checksum of term"),
        ("DELETE FROM ballot", "is missing"),
        ("UPDATE base SET snapshot = 7; DELETE FROM log", "no log"),
        ("UPDATE base SET snapshot = 7", "the snapshot: not a snapshot"),
        ("UPDATE base SET first = 2", "begins late and there is no snapshot"),
        ("DELETE FROM base", "is missing"),
        ("UPDATE marks SET idx = 99", "checksum of what b:1 promised"),
    ],
)
def test_a_changed_file_is_put_aside_and_never_voted_from(
    tmp_path: Path, statement: str, said: str
) -> None:
    store = sqlite_store(tmp_path)
    store.load()
    for entry in entries(1, 3):
        store.append(entry)
    store.save_ballot(5, "a:1")
    store.save_marks({"b:1": Mark(incarnation="x", term=5, index=3)})
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.executescript(statement)
    was = (tmp_path / FILE_NAME).read_bytes()
    persisted = sqlite_store(tmp_path, "another").load()
    assert re.search(said, persisted.put_aside or "")
    assert (persisted.incarnation, persisted.entries, persisted.term) == ("another", (), 0)
    aside = tmp_path / "raft-void-1"
    assert (aside / FILE_NAME).read_bytes() == was
    assert re.search(said, (aside / "raft.void").read_text())


def test_a_file_cut_or_overwritten_at_any_page_is_put_aside_or_whole(tmp_path: Path) -> None:
    """Never a shorter or a changed log: either everything is there, or nothing counts."""
    store = sqlite_store(tmp_path / "good")
    store.load()
    for entry in entries(1, 200):
        store.append(entry)
    store.close()
    content = (tmp_path / "good" / FILE_NAME).read_bytes()
    for page in range(len(content) // 4096):
        at = page * 4096
        for number, damaged in enumerate(
            (content[:at], content[:at] + bytes(4096) + content[at + 4096 :])
        ):
            directory = tmp_path / f"{page}-{number}"
            directory.mkdir()
            (directory / FILE_NAME).write_bytes(damaged)
            if not damaged:
                continue
            reopened = sqlite_store(directory, "another")
            persisted = reopened.load()
            assert (persisted.incarnation, persisted.entries) == ("another", ())
            assert (directory / "raft-void-1" / FILE_NAME).read_bytes() == damaged
            reopened.close()


def test_what_was_put_aside_half_way_is_put_aside_whole(tmp_path: Path) -> None:
    """A write-ahead log without its file would be taken for that of the new one."""
    store = sqlite_store(tmp_path)
    store.load()
    store.append(entries(1, 1)[0])
    store.sync()
    store.condemn("so it is")
    store._let_go()
    assert store._lock is not None
    os.close(store._lock)
    first = tmp_path / "raft-void-1"
    first.mkdir()
    (tmp_path / FILE_NAME).rename(first / FILE_NAME)
    left = tmp_path / f"{FILE_NAME}-wal"
    left.write_bytes(b"of the file that is gone")
    persisted = sqlite_store(tmp_path, "another").load()
    assert (persisted.incarnation, persisted.entries) == ("another", ())
    assert list(tmp_path.glob("raft.void*")) == []
    assert [path.read_bytes() for path in tmp_path.glob(f"raft-void-*/{left.name}")] == [
        b"of the file that is gone"
    ]


def test_what_a_snapshot_replaced_goes_little_by_little_with_new_entries(tmp_path: Path) -> None:
    store = sqlite_store(tmp_path)
    store.load()
    for entry in entries(1, 100):
        store.append(entry)
    for first in (10, 80):
        stage(store, Origin.OWN, sealed(first), parts=4)
        store.compact(first)
    store.stage(Origin.RECEIVED, b"never finished", first=True)
    store.close()

    again = sqlite_store(tmp_path)
    again.load()
    left = []
    for entry in entries(101, 100 + 3 * ENTRIES_A_TIDYING):
        again.append(entry)
        again.sync()
        rows = "SELECT (SELECT count(*) FROM log WHERE idx < 80), count(*) FROM parts"
        left.append(again._query(rows)[0])

    assert left[0] == (79, 9)
    assert left[-1] == (0, 4)
    gone = [(a - c, b - d) for (a, b), (c, d) in itertools.pairwise(left)]
    assert max(gone) == (ENTRIES_A_TIDYING * ENTRIES_AT_A_TIME, PARTS_A_TIDYING)
    again.close()
    persisted = sqlite_store(tmp_path).load()
    assert persisted.snapshot == sealed(80)
    assert list(persisted.entries) == entries(80, 100 + 3 * ENTRIES_A_TIDYING)


def test_a_full_disk_is_final_and_keeps_what_was_synced(tmp_path: Path) -> None:
    """SQLite's own page limit stands for the disk's."""
    store = sqlite_store(tmp_path / "raft")
    store.load()
    assert store._connection is not None
    store._connection.execute("PRAGMA max_page_count = 20")
    kept = 0

    def write_on() -> None:
        nonlocal kept
        while True:
            store.append(LogEntry(bytes(4000), kept + 1, 1))
            store.sync()
            kept += 1

    with pytest.raises(StorageFailed, match="full"):
        write_on()
    shutil.copytree(tmp_path / "raft", tmp_path / "again")
    assert len(sqlite_store(tmp_path / "again").load().entries) == kept > 0


WRITER = """
import sys
from pathlib import Path
from raftha.clock import SystemClock
from raftha.consensus.state import LogEntry
from raftha.consensus.stable import Owner
from raftha.consensus.storage import SqliteStore
owner = Owner(scope="s", name="n1")
clock = SystemClock()
store = SqliteStore(Path(sys.argv[1]), owner=owner, clock=clock, new_incarnation="new")
last = len(store.load().entries)
while True:
    for _ in range(3):
        last += 1
        store.append(LogEntry(b"c%d" % last, last, 1))
    store.sync()
    print(last, flush=True)
"""


@pytest.mark.slow
def test_a_killed_process_leaves_everything_that_it_had_synced(tmp_path: Path) -> None:
    promised = 0
    for _ in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(20):
            promised = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
    persisted = sqlite_store(tmp_path).load()
    assert len(persisted.entries) >= promised
    assert list(persisted.entries) == entries(1, len(persisted.entries))
