"""The hazards of what lies on the disk: H5 to H8 and H24 to H27 of `docs/consensus.md`.

Of each pair the first test shows what the released library does, the second what becomes of the
same schedule here. What the real file does when it is cut, overwritten, full or killed is in
`test_storage_contract`.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pysyncobj
import pytest
from pysyncobj.journal import FileJournal

from raftha.clock import SystemClock
from raftha.consensus import commands
from raftha.consensus.commands import LogCommand
from raftha.consensus.stable import Owner
from raftha.consensus.state import LogEntry
from raftha.consensus.storage import SqliteStore
from raftha.errors import StorageFailed
from raftha.instants import Seconds
from raftha.model.store import Barrier
from tests.sim.group import Group
from tests.unit.consensus.stock import WON, StockGroup

OWNER = Owner(scope="s", name="n1")


pytestmark = pytest.mark.usefixtures("quiet_library")


class Killed(BaseException):
    """The process ends here."""


class DyingJournal(FileJournal):
    """The library's journal in a process that dies while it writes the `left`th entry."""

    left = 10**9

    def add(self, command: bytes, idx: int, term: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed
        super().add(command, idx, term)


def led_by_a(names: str = "abc") -> Group:
    group = Group(names)
    group.elect("a")
    assert group.leads("a")
    return group


def test_h5_the_library_never_asks_for_a_sync() -> None:
    """An entry, a vote or a dump is in the page cache when it is acknowledged: no part of the
    library calls fsync, and nobody calls its journal's `flush`."""
    called: set[str] = set()
    for file in Path(pysyncobj.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called.add(f"{file.name}: {node.func.attr}")

    assert "journal.py: flush" in called  # the method itself, which flushes its map
    assert not {call for call in called if call.endswith((": fsync", ": fdatasync"))}
    assert "syncobj.py: flush" not in called


def test_h5_nothing_is_acknowledged_before_the_disk_has_it() -> None:
    group = led_by_a()
    group.create("a", "k")
    group.network.flying["b", "a"].clear()
    group.seats["b"].disk.sync_fails = True

    with pytest.raises(StorageFailed):
        group.deliver("a", "b")

    assert group.flying("b", "a") == []


def test_h5_the_raft_leader_counts_its_own_copy_only_once_durable() -> None:
    group = Group("a")
    group.seats["a"].disk.sync_fails = True
    with pytest.raises(StorageFailed):
        group.campaign("a")
    assert group.node("a")._core.engine.commit_index == 1


def test_h5_a_later_entry_of_the_raft_leader_waits_for_the_disk_too() -> None:
    group = Group("a")
    group.elect("a")
    before = group.node("a")._core.engine.commit_index
    group.node("a")._core.propose(commands.encode(LogCommand(body=Barrier())), Seconds(1.0))
    group.seats["a"].disk.sync_fails = True

    with pytest.raises(StorageFailed):
        group.node("a")._core.tick()

    assert group.node("a")._core.engine.commit_index == before


def test_h5_each_commit_of_the_file_is_synced(tmp_path: Path) -> None:
    """`synchronous = FULL` (2): in the write-ahead log anything less syncs at checkpoints alone."""
    store = SqliteStore(tmp_path, owner=OWNER, clock=SystemClock(), new_incarnation="i")
    store.load()

    assert store._query("PRAGMA synchronous") == [(2,)]
    assert store._query("PRAGMA journal_mode") == [("wal",)]
    store.close()


def test_h6_the_library_trusts_a_commit_index_beyond_its_log(tmp_path: Path) -> None:
    """The power fails; the small file with the commit index had reached the disk, the end of the
    log had not. The restarted leader answers with success while it is cut off from everybody."""
    group = StockGroup(folder=tmp_path)
    group.elect("a")
    for number in range(10):
        group.create("a", f"k{number}")
    group.round("a", "bc")
    for name in "abc":
        group.node(name).part("raftLog").onOneSecondTimer()
    for name in "abc":
        group.kill(name)
        journal = FileJournal(str(tmp_path / f"{name}.journal"))
        journal.deleteEntriesFrom(len(journal) - 6)

    for name in "abc":
        group.start(name)
    group.campaign("a")
    for name in "bc":
        group.deliver("a", name)
        group.deliver(name, "a")
    group.flying.clear()
    group.isolate("a")
    answers = group.create("a", "leader")
    group.tick("a", 2)

    assert answers == WON
    assert group.node("a").log[-1] not in group.node("b").log + group.node("c").log


def test_h6_the_commit_index_is_found_anew_after_a_restart() -> None:
    group = led_by_a()
    group.create("a", "k")
    group.settle()

    disk = group.kill("a")
    node = group.start("a", disk, connect=False)

    assert node._core.engine.commit_index == 1
    assert node.store.peek().entries == {}


def test_h7_the_library_clears_its_log_after_a_crash_behind_a_dump(tmp_path: Path) -> None:
    """The dump is renamed, the journal not trimmed yet, the process killed: the next start clears
    the whole journal, with the entry behind the dump that was acknowledged."""
    group = StockGroup(folder=tmp_path)
    group.start("b", fullDumpFile=str(tmp_path / "b.dump"))
    group.elect("a")
    for number in range(4):
        group.create("a", f"k{number}")
    group.round("a", "bc")
    first = group.create("a", "leader")
    group.beat("a")
    group.deliver("a", "b")
    complete = group.node("b").log
    group.node("b").forceLogCompaction()
    group.tick("b")
    group.deliver("b", "a")
    group.tick("a", 2)
    group.isolate("c")

    group.kill("b")
    assert (tmp_path / "b.dump").exists()
    group.start("b", fullDumpFile=str(tmp_path / "b.dump"))
    group.tick("b")
    assert complete[-1] not in group.node("b").log
    group.kill("a")
    group.heal()
    group.elect("c", "bc")
    second = group.create("c", "leader")
    group.round("c", "b")

    assert (first, second) == (WON, WON)


def test_h7_a_crash_after_a_snapshot_keeps_the_entries_behind_it() -> None:
    group = led_by_a()
    for number in range(4):
        group.create("a", f"k{number}")
    group.settle()
    group.compact("a")
    group.create("a", "late")
    group.settle()
    complete = group.log("a")

    node = group.start("a", group.kill("a"))

    assert group.log("a") == complete
    assert {"k0", "k3"} <= set(node.store.peek().entries)


def test_h8_the_library_loses_its_log_when_it_is_killed_while_trimming(tmp_path: Path) -> None:
    """The journal is cleared and written anew in place; what is found afterwards is a shorter log
    without a gap, so nobody can tell."""
    file = str(tmp_path / "journal")
    journal = DyingJournal(file)
    for number in range(1, 101):
        journal.add(b"command", number, 1)

    journal.left = 30
    with pytest.raises(Killed):
        journal.deleteEntriesTo(10)

    found = [index for _, index, _ in FileJournal(file)[:]]
    assert found == list(range(11, 40))


def test_h8_a_power_cut_within_a_compaction_loses_nothing() -> None:
    group = led_by_a()
    for number in range(4):
        group.create("a", f"k{number}")
    group.settle()
    complete = group.log("a")
    group.seats["a"].disk.sync_fails = True

    with pytest.raises(StorageFailed):
        group.compact("a")
    disk = group.kill("a")
    disk.sync_fails = False
    group.start("a", disk)

    assert group.log("a") == complete


def test_h24_the_library_forgets_everything_when_it_has_a_journal_but_no_dump_file(
    tmp_path: Path,
) -> None:
    """Its first compaction drops the head of the journal, and the dump lies in memory alone. After
    a restart it leads, commits, and never applies anything again."""
    group = StockGroup(folder=tmp_path)
    group.elect("a")
    first = group.create("a", "leader")
    for number in range(4):
        group.create("a", f"k{number}")
    group.round("a", "bc")
    for name in "abc":
        group.compact(name)
    for name in "abc":
        group.kill(name)
        group.start(name)

    group.elect("a")
    again = group.create("a", "leader")
    group.round("a", "bc", 8)

    assert first == WON
    assert group.node("a").leads
    assert group.node("a").raftCommitIndex == group.node("a").log[-1][0]
    assert group.node("a").entries == {}
    assert again == []


def test_h24_a_compacted_voter_that_restarts_has_its_state() -> None:
    group = led_by_a()
    group.create("a", "leader", b"a")
    for number in range(4):
        group.create("a", f"k{number}")
    group.settle()
    for name in "abc":
        group.compact(name)
    for name in "abc":
        group.start(name, group.kill(name))

    group.elect("b")
    group.create("b", "leader", b"b")
    group.settle()

    assert group.node("b").store.peek().entries["leader"].value == b"a"


def test_h25_the_library_takes_a_flipped_bit_for_a_value(tmp_path: Path) -> None:
    """There is no checksum: a voter starts with another value than the one that was decided."""
    group = StockGroup("a", folder=tmp_path)
    group.elect("a")
    group.create("a", "leader", "node1")
    group.tick("a", 2)
    group.kill("a")
    file = tmp_path / "a.journal"
    file.write_bytes(file.read_bytes().replace(b"node1", b"node2"))

    group.start("a")
    group.elect("a")

    assert group.node("a").entries == {"leader": "node2"}


def test_h25_a_flipped_bit_is_never_voted_from(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, owner=OWNER, clock=SystemClock(), new_incarnation="i")
    store.load()
    for index in (1, 2, 3):
        store.append(LogEntry(b"leader = node%d" % index, index, 1))
    store.close()
    file = tmp_path / "raft.sqlite"
    assert file.read_bytes().count(b"node1") == 1
    file.write_bytes(file.read_bytes().replace(b"node1", b"node9"))

    persisted = SqliteStore(tmp_path, owner=OWNER, clock=SystemClock(), new_incarnation="j").load()

    assert (persisted.incarnation, persisted.entries) == ("j", ())
    assert "wrong checksum of log entry" in (persisted.put_aside or "")
