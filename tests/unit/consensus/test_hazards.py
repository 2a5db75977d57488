"""One scenario for each way in which the released Raft library loses or doubles a decision.

The numbers are those of the table in `docs/consensus.md`. Each docstring says what the library does
when it is used as it is; the assertion says what happens here.
"""

from __future__ import annotations

import pytest

from raftha.consensus import wire
from raftha.errors import StorageFailed
from raftha.instants import Seconds
from raftha.model.settings import RaftTimings
from raftha.model.store import Committed
from tests.sim.fakes import Fatal
from tests.sim.group import Group


def led_by_a(names: str = "abc") -> Group:
    group = Group(names)
    group.elect("a")
    assert group.leads("a")
    return group


def test_h1_a_snapshot_chunk_commits_nothing() -> None:
    """Stock: a message without a previous entry moves the commit index to the end of the receiver's
    log, so a returning raft leader applies its own unreplicated tail and reports success."""
    group = led_by_a()
    group.isolate("a")
    lost = group.create("a", "leader", b"a")
    group.elect("b", "bc")
    won = group.create("b", "leader", b"b")
    for number in range(3):
        group.create("b", f"x{number}")
    group.settle("bc")
    group.join("a", "b")
    group.network.flying["b", "a"].clear()
    group.inject("b", "a", wire.Chunk(group.term("b"), b"the first part", True, False))

    group.deliver("b", "a")
    group.step("a", 2)

    assert group.keys("a") == set()
    group.settle("ab")
    assert not any(isinstance(outcome, Committed) for outcome in lost)
    assert isinstance(won[0], Committed)
    assert group.node("a").store.peek().entries["leader"].value == b"b"


def test_h2_an_older_snapshot_is_not_installed() -> None:
    """Stock: any snapshot that arrives is installed, and entries acknowledged since are dropped."""
    group = led_by_a()
    group.network.disconnect("a", "b")
    for number in range(5):
        group.create("a", f"k{number}")
    group.settle("ac")
    group.node("a")._core.compact()
    group.join("a", "b")
    group.beat("a")
    stale = [message for message in group.flying("a", "b") if isinstance(message, wire.Chunk)]
    group.settle("ab")
    group.create("a", "leader")
    group.settle("ab")
    before = group.log("b")

    for message in stale:
        group.inject("a", "b", message)
    group.deliver("a", "b")

    assert stale
    assert group.log("b") == before
    assert "leader" in group.keys("b")


def test_h3_a_leader_that_cannot_store_a_term_stops() -> None:
    """Stock: memory takes the higher term, the write fails, and the node leads on in a term that
    somebody else may lead too."""
    group = led_by_a()
    group.campaign("b")
    group.pass_time("a", 2e6)
    group.seats["a"].disk.full = True
    group.node("a")._core.engine.forget_leader()
    group.inject("b", "a", wire.Stale(group.term("b")))

    with pytest.raises(StorageFailed):
        group.deliver("b", "a")


def test_h4_a_repeated_append_removes_nothing() -> None:
    """Stock: each append deletes all that follows its previous entry, acknowledged or not."""
    group = led_by_a()
    for number in range(5):
        group.create("a", f"k{number}")
    group.settle()
    complete = group.log("b")
    entry = group.node("a")._core._journal[2]
    before = group.node("a")._core._journal[1]
    again = wire.Append(group.term("a"), 1, before[1], before[2], [wire.LogEntry(*entry)])

    group.inject("a", "b", again)
    group.deliver("a", "b")

    assert group.log("b") == complete


def test_h4_a_leader_that_contradicts_a_committed_entry_ends_the_process() -> None:
    """Stock: a line in the log, and the committed entry is gone."""
    group = led_by_a()
    group.create("a", "k")
    group.settle()
    wrong = wire.Append(group.term("a") + 1, 9, 1, 0, [wire.LogEntry(b"\x01", 2, 77)])

    group.inject("a", "b", wrong)
    with pytest.raises(Fatal, match="committed"):
        group.deliver("a", "b")


def test_h5_nothing_is_acknowledged_before_the_disk_has_it() -> None:
    """Stock: no sync anywhere; an acknowledged entry is lost with the power."""
    group = led_by_a()
    group.create("a", "k")
    group.network.flying["b", "a"].clear()
    group.seats["b"].disk.sync_fails = True

    with pytest.raises(StorageFailed):
        group.deliver("a", "b")

    assert group.flying("b", "a") == []


def test_h5_the_raft_leader_counts_its_own_copy_only_once_durable() -> None:
    """Stock: the raft leader counts what lies in its page cache."""
    group = Group("a")
    group.seats["a"].disk.sync_fails = True
    with pytest.raises(StorageFailed):
        group.campaign("a")
    assert group.node("a")._core.engine.commit_index == 1


def test_h6_the_commit_index_is_found_anew_after_a_restart() -> None:
    """Stock: it is restored from a file and can point beyond the log, so a cut-off node commits."""
    group = led_by_a()
    group.create("a", "k")
    group.settle()

    disk = group.kill("a")
    node = group.start("a", disk, connect=False)

    assert node._core.engine.commit_index == 1
    assert node.store.peek().entries == {}


def test_h7_a_crash_after_a_snapshot_keeps_the_entries_behind_it() -> None:
    """Stock: snapshot renamed, log not yet trimmed, killed: the next start clears the whole log."""
    group = led_by_a()
    for number in range(4):
        group.create("a", f"k{number}")
    group.settle()
    group.node("a")._core.compact()
    group.create("a", "late")
    group.settle()
    complete = group.log("a")

    node = group.start("a", group.kill("a"))

    assert group.log("a") == complete
    assert {"k0", "k3"} <= set(node.store.peek().entries)


def test_h8_a_power_cut_within_a_compaction_loses_nothing() -> None:
    """Stock: the log is cleared and rewritten in place."""
    group = led_by_a()
    for number in range(4):
        group.create("a", f"k{number}")
    group.settle()
    complete = group.log("a")
    group.seats["a"].disk.sync_fails = True

    with pytest.raises(StorageFailed):
        group.node("a")._core.compact()
    disk = group.kill("a")
    disk.sync_fails = False
    group.start("a", disk)

    assert group.log("a") == complete


def test_h9_a_vote_outlives_the_process() -> None:
    """Stock, without a journal: a restarted voter votes again, and a term gets two raft leaders."""
    group = Group()
    group.campaign("a")
    group.network.flying["a", "b"].clear()
    group.deliver("a", "c")
    group.deliver("c", "a")
    assert group.leads("a")
    group.network.flying["a", "b"].clear()
    group.network.flying["a", "c"].clear()

    group.start("c", group.kill("c"))
    group.campaign("b")
    group.deliver("b", "c")
    group.deliver("c", "b")

    assert group.term("b") == group.term("a")
    assert not group.leads("b")


def test_h10_the_log_changes_no_members_and_unpickles_nothing() -> None:
    """Stock: such entries act on every node that reads them, whatever the configuration says."""
    group = led_by_a()
    last, term = group.log("b")[-1]
    forged = [wire.LogEntry(bytes([kind]) + b"cos\nabort\n(tR.", 0, 0) for kind in (2, 3)]
    entries = [wire.LogEntry(e.command, last + 1 + i, term) for i, e in enumerate(forged)]

    group.inject("a", "b", wire.Append(term, last + 2, last, term, entries))
    group.deliver("a", "b")
    group.step("b", 2)

    assert group.node("b")._core.engine.applied_index == last + 2
    assert {node.id for node in group.node("b")._core.engine.otherNodes} == {"a", "c"}


def test_h11_an_answer_to_an_earlier_process_is_not_taken_for_ours() -> None:
    """Stock: request numbers begin at 1 in every process, so a late answer fits a new request."""
    group = led_by_a()
    group.create("b", "config")
    disk = group.kill("b")
    group.create("a", "leader", b"a")
    group.settle("ac")
    group.start("b", disk)
    group.settle()

    mine = group.create("b", "leader", b"b")
    group.settle()
    group.settle()

    assert group.node("b").store.peek().entries["leader"].value == b"a"
    assert not any(isinstance(outcome, Committed) for outcome in mine)


def test_h12_an_acknowledgement_of_an_earlier_term_counts_for_nothing() -> None:
    """Stock: acknowledgements carry no term; with five voters two copies can then commit."""
    group = led_by_a("abcde")
    group.isolate("a")
    group.create("a", "k")
    last = group.log("a")[-1][0]
    group.join("a", "b")
    group.network.flying["a", "b"].clear()

    for peer in "bcde":
        group.network.connect("a", peer)
        group.inject(peer, "a", wire.Progress(group.term("a") - 1, last + 1, False, True))
        group.network.deliver(peer, "a")
    group.step("a", 2)

    assert group.node("a")._core.engine.commit_index < last


def test_h13_a_voter_counts_once() -> None:
    """Stock: two copies of one vote make a majority of three out of five."""
    group = Group("abcde")
    group.campaign("a")

    for _ in range(4):
        group.inject("b", "a", wire.Vote(group.term("a")))
    group.deliver("b", "a")

    assert not group.leads("a")


def test_h15_bytes_that_are_no_command_never_enter_the_log() -> None:
    """Stock: an exception in apply repeats in every tick of every node, for ever.

    What cannot be applied is refused before the log, where it harms nobody; found in the log
    nevertheless, it ends the process rather than to let the replicas differ.
    """
    group = led_by_a()
    assert not group.node("a")._core._append_command(b"\xff garbage")
    later = group.create("a", "k")
    group.settle()
    group.settle()

    assert isinstance(later[0], Committed)
    assert group.keys("b") == {"k"}
    with pytest.raises(Fatal, match="cannot be read"):
        group.node("b")._replica.apply(99, b"\xff garbage")


def test_h22_a_paused_voter_does_not_depose_a_healthy_leader() -> None:
    """Stock: it looks at its deadline before it reads the heartbeats that waited."""
    group = Group(timings=RaftTimings())
    group.elect("a")
    for _ in range(30):
        for name in "ab":
            group.pass_time(name, 0.1)
        group.settle("ab", rounds=1)
    group.pass_time("c", 3.0)
    group.step("c")
    group.settle()

    assert group.leads("a")
    assert group.term("a") == group.term("c") == 1


def test_h22_a_voter_that_hears_the_leader_supports_nobody_else() -> None:
    """Stock: a candidate behind a bad link raises the term and deposes the raft leader."""
    group = Group(timings=RaftTimings())
    group.elect("a")
    group.network.disconnect("a", "c")
    for name in "abc":
        group.pass_time(name, 0.1)
    group.settle("ab")
    for _ in range(20):
        for name in "abc":
            group.pass_time(name, 0.1)
        group.settle("ab")
        group.step("c")
        group.deliver("c", "b")
        group.deliver("b", "c")

    assert group.leads("a")
    assert group.term("b") == 1


def test_h23_a_long_backlog_behind_a_conflict_is_caught_up() -> None:
    """Stock: going back entry by entry is undone by the messages already sent, without end."""
    group = led_by_a()
    group.isolate("a")
    for number in range(4):
        group.create("a", f"lost{number}")
    group.elect("b", "bc")
    for number in range(60):
        group.create("b", f"k{number}", b"x" * 8000)
    group.settle("bc")

    group.join("a", "b")
    group.settle("ab", rounds=8)

    assert group.log("a") == group.log("b")


def test_a_command_survives_a_change_of_the_raft_leader() -> None:
    """The same command is handed to the next raft leader and happens once."""
    group = led_by_a()
    group.create("b", "first")
    group.settle()
    outcome = group.create("b", "k")
    group.network.deliver("b", "a")
    group.step("a")
    group.kill("a")
    group.elect("c", "bc")
    group.settle("bc")

    assert isinstance(outcome[0], Committed)
    assert group.keys("c") == {"first", "k"}


def test_a_command_that_never_left_is_reported_as_not_sent() -> None:
    """Without a raft leader nothing is handed over, so nothing can have happened."""
    group = Group()
    outcomes = group.create("a", "k")
    group.pass_time("a", 2e5)
    group.step("a")

    assert [type(outcome).__name__ for outcome in outcomes] == ["NotSent"]


def test_a_command_without_an_answer_is_reported_as_unknown() -> None:
    """It lies in the log of a cut-off leader: it may happen, or not."""
    group = led_by_a()
    group.create("a", "first")
    group.settle()
    group.isolate("a")
    outcomes = group.create("a", "k")
    group.pass_time("a", float(Seconds(2e5)))
    group.step("a")

    assert [type(outcome).__name__ for outcome in outcomes] == ["Unknown"]


def test_a_lease_counts_from_the_first_hand_over_of_its_command() -> None:
    """A command that is handed to a second raft leader is not younger for it (R1)."""
    group = led_by_a()
    group.create("b", "first")
    group.settle()
    group.isolate("b")
    group.join("a", "b")
    first_leaves = group.node("b")._clock.now()
    outcome = group.create("b", "k")
    group.kill("a")
    group.pass_time("b", 3.0)
    group.network.connect("b", "c")
    group.elect("c", "bc")
    group.settle("bc")

    assert isinstance(outcome[0], Committed)
    assert outcome[0].handed_over == first_leaves
