"""The Raft directory of a survivor on a real disk: read without a change, replaced whole or not at
all, wherever the process is killed."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raftha.clock import SystemClock
from raftha.consensus import configuration, remains
from raftha.consensus.configuration import Configuration, Seat
from raftha.consensus.dirlock import LOCK_NAME
from raftha.consensus.refounding import KEPT_PREFIX, NOTE_NAME, SurvivorDirectory
from raftha.consensus.remains import Beginning, NotRecoverable
from raftha.consensus.stable import Owner, Persisted
from raftha.consensus.state import LogEntry
from raftha.consensus.storage import FILE_NAME, SqliteStore
from raftha.errors import StorageFailed

OWNER = Owner(scope="s", name="n1")
KILLED = 9
OPERATIONS = ("open", "os.", "shutil.", "sqlite3.")
VOTERS = Configuration(lineage="x", seats=(Seat("a", "A", "old"), Seat("b", "B", "2")))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """As a killed agent leaves it: the newest entries lie in SQLite's write-ahead log."""
    living, left = tmp_path / "living", tmp_path / "raft"
    store = SqliteStore(living, owner=OWNER, clock=SystemClock(), new_incarnation="old")
    store.load()
    store.append(LogEntry(b"\x01", 1, 0))
    store.append(LogEntry(configuration.encode(VOTERS), 2, 1))
    store.save_ballot(3, "A")
    store.sync()
    shutil.copytree(living, left)
    store.close()
    assert (left / f"{FILE_NAME}-wal").stat().st_size
    return left


def opened(directory: Path) -> SurvivorDirectory:
    survivor = SurvivorDirectory(directory, OWNER, SystemClock())
    survivor.open()
    return survivor


def read(directory: Path) -> Persisted:
    survivor = opened(directory)
    try:
        return survivor.read()
    finally:
        survivor.close()


def recover(directory: Path, step: Callable[[str], object] = lambda _done: None) -> Path:
    survivor = opened(directory)
    try:
        beginning = begun(survivor.read())
        return survivor.put_in_place(beginning, "new", "why\n", step)
    finally:
        survivor.close()


def begun(persisted: Persisted) -> Beginning:
    return remains.begin(remains.read(persisted), Seat("a", "A", "new"), "y", None)


def contents(directory: Path) -> dict[str, bytes]:
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def test_reading_changes_nothing(directory: Path) -> None:
    before = contents(directory)
    assert read(directory).entries[-1].index == 2
    assert contents(directory) == before


def test_the_new_content_is_in_place_and_the_old_one_is_kept(directory: Path) -> None:
    old = read(directory)
    kept = recover(directory)

    new = read(directory)
    assert (new.incarnation, new.term, new.vote) == ("new", old.term + 1, None)
    assert new.entries == begun(old).entries
    assert kept == directory / f"{KEPT_PREFIX}1"
    assert (kept / NOTE_NAME).read_text() == "why\n"
    again = read(kept)
    assert (again.incarnation, again.entries, again.vote) == ("old", old.entries, "A")
    assert {path.name for path in directory.iterdir()} == {FILE_NAME, LOCK_NAME, kept.name}


def test_a_second_recovery_keeps_the_first_ones_copy(directory: Path) -> None:
    first, second = recover(directory), recover(directory)
    assert (read(first).incarnation, read(second).incarnation) == ("old", "new")
    assert remains.read(read(directory)).generation == 2


def die_at(number: int) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that kills this process before its file operation of that number."""
    seen = 0

    def hook(event: str, _arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event.startswith(OPERATIONS):
            seen += 1
            if seen == number:
                os._exit(KILLED)

    return hook


def recover_and_die(directory: Path, number: int) -> bool:
    """Recover in a process of its own, killed before a file operation; whether it was."""
    child = os.fork()
    if child == 0:
        tempfile.tempdir = str(directory.parent)  # who is killed leaves its copy of the log there
        sys.addaudithook(die_at(number))
        recover(directory)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, KILLED)
    return code == KILLED


def test_killed_at_any_file_operation_it_is_the_old_state_or_the_new_one(
    directory: Path, tmp_path: Path
) -> None:
    """And the next attempt goes through. Whatever the new one replaced is kept by then."""
    old = read(directory)
    found: list[str] = []
    tried: set[frozenset[str]] = set()
    for number in range(1, 1000):
        trial = tmp_path / f"killed {number}"
        shutil.copytree(directory, trial)
        was_killed = recover_and_die(trial, number)
        now = read(trial)
        found.append(now.incarnation)
        if now.incarnation == "old":
            assert (now.entries, now.term, now.vote) == (old.entries, old.term, old.vote)
        else:
            assert now.entries == begun(old).entries
            assert read(trial / f"{KEPT_PREFIX}1").entries == old.entries
        left_behind = frozenset(contents(trial))
        if left_behind not in tried:
            recover(trial)
            assert read(trial).incarnation == "new"
        tried.add(left_behind)
        shutil.rmtree(trial)
        if not was_killed:
            break
    assert found == sorted(found, reverse=True), "from one operation on it is the new state"
    assert (found[0], found[-1]) == ("old", "new")
    assert len(found) > 20


def test_an_error_at_any_step_leaves_one_state_or_the_other(directory: Path) -> None:
    steps: list[str] = []
    recover(directory, steps.append)
    assert len(steps) == 4

    for number in range(len(steps)):
        before = read(directory)
        left = iter(range(number, -1, -1))

        def fail(_done: str, left: Any = left) -> None:
            if next(left) == 0:
                raise OSError("the disk is gone")

        with pytest.raises(StorageFailed, match="the disk is gone"):
            recover(directory, fail)
        is_done = number == len(steps) - 1
        assert (read(directory).entries == before.entries) is not is_done


def test_a_directory_in_use_is_left_alone(directory: Path) -> None:
    agent = SqliteStore(directory, owner=OWNER, clock=SystemClock(), new_incarnation="x")
    agent.load()
    with pytest.raises(StorageFailed, match="in use by another raftha process"):
        SurvivorDirectory(directory, OWNER, SystemClock()).open()
    agent.close()
    held = opened(directory)
    with pytest.raises(StorageFailed, match="in use"):
        SqliteStore(directory, owner=OWNER, clock=SystemClock(), new_incarnation="x").load()
    held.close()


def test_what_must_not_be_voted_from_is_not_recovered_from(directory: Path) -> None:
    (directory / "raft.void").write_text("it is an older copy")
    with pytest.raises(NotRecoverable, match="must not be voted from"):
        opened(directory)


def test_a_damaged_log_is_not_recovered_from_and_stays_as_it_is(directory: Path) -> None:
    recover(directory)
    content = bytearray((directory / FILE_NAME).read_bytes())
    content[2048:6144] = b"\xa5" * 4096
    (directory / FILE_NAME).write_bytes(content)
    before = contents(directory)
    with pytest.raises(NotRecoverable, match=str(directory)):
        read(directory)
    assert contents(directory) == before


def test_where_no_log_is_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(NotRecoverable, match="no Raft log"):
        opened(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_directory_of_another_node_is_not_recovered_from(directory: Path) -> None:
    before = contents(directory)
    other = SurvivorDirectory(directory, Owner(scope="s", name="n2"), SystemClock())
    other.open()
    with pytest.raises(NotRecoverable, match=rf"{directory} is the Raft directory of node 'n1'"):
        other.read()
    other.close()
    assert contents(directory) == before
