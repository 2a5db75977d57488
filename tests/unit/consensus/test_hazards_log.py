"""The hazards of the log and its snapshots: H1, H2, H4, H12, H23 and H28 of `docs/consensus.md`.

Of each pair the first test shows what the released library does, the second what becomes of the
same schedule here.
"""

from __future__ import annotations

import pytest

from raftha.consensus import wire
from raftha.model.store import Committed
from tests.sim.fakes import Fatal
from tests.sim.group import Group
from tests.unit.consensus.stock import WON, Answers, StockGroup

pytestmark = pytest.mark.usefixtures("quiet_library")

FIRST = {"first of a", "first of b"}


def led_by_a(names: str = "abc") -> Group:
    """Each of a and b has an open session, so that a command they are given enters the log."""
    group = Group(names)
    group.elect("a")
    for name in "ab":
        group.create(name, f"first of {name}")
    group.settle()
    group.settle()
    assert group.leads("a")
    assert group.keys("b") == FIRST
    return group


def stock_led_by_a(names: str = "abc", **options: int) -> StockGroup:
    group = StockGroup(names, **options)
    group.elect("a")
    assert group.node("a").leads
    return group


def successor_of_a(group: StockGroup) -> Answers:
    """The process of a ends; c comes back, wins with the vote of b and creates the same key."""
    group.kill("a")
    group.heal()
    group.flying.clear()
    group.elect("c", "bc")
    answers = group.create("c", "leader")
    group.round("c", "b")
    return answers


def test_h1_the_library_commits_a_tail_that_nobody_else_has() -> None:
    """A message without a previous entry moves the commit index to the end of the receiver's log,
    so a returning raft leader applies its own unreplicated entry and reports success."""
    group = stock_led_by_a()
    group.isolate("a")
    lost = group.create("a", "leader")
    group.beat("a")
    group.elect("b", "bc")
    won = group.create("b", "leader")
    for number in range(3):
        group.create("b", f"x{number}")
    group.round("b", "c")
    group.compact("b")

    group.heal()
    group.beat("b")
    group.deliver("b", "a")
    group.deliver("a", "b")
    group.beat("b")
    group.deliver("b", "a", 1)
    group.tick("a")

    assert (lost, won) == (WON, WON)
    assert group.node("a").entries["leader"] == "a"
    assert group.node("b").entries["leader"] == "b"


def test_h1_a_snapshot_chunk_commits_nothing() -> None:
    group = led_by_a()
    group.isolate("a")
    lost = group.create("a", "leader", b"a")
    group.elect("b", "bc")
    won = group.create("b", "leader", b"b")
    for number in range(3):
        group.create("b", f"x{number}")
    group.settle("bc")
    group.compact("b")
    group.join("a", "b")
    group.network.flying["b", "a"].clear()
    group.inject("b", "a", wire.Chunk(group.term("b"), b"the first part", True, False))

    group.deliver("b", "a")
    group.step("a", 2)

    assert group.keys("a") == FIRST
    group.settle("ab")
    assert not any(isinstance(outcome, Committed) for outcome in lost)
    assert isinstance(won[0], Committed)
    assert group.node("a").store.peek().entries["leader"].value == b"b"


def test_h2_the_library_goes_back_to_an_older_snapshot() -> None:
    """Any snapshot that arrives is installed. Two askings for one are in flight, so it comes twice;
    the second time it wipes out what the follower has acknowledged since."""
    group = stock_led_by_a()
    group.cut = {("a", "b"), ("b", "a")}
    for number in range(5):
        group.create("a", f"k{number}")
    group.round("a", "c")
    group.compact("a")
    group.heal()
    group.beat("a")
    group.beat("a")
    group.deliver("a", "b")
    group.isolate("c")
    group.deliver("b", "a", 1)
    group.beat("a")
    first = group.create("a", "leader")
    group.beat("a")
    first_stream = len(group.flying["a", "b"])
    group.deliver("b", "a", 1)
    group.beat("a")
    group.deliver("a", "b", first_stream)
    group.deliver("b", "a")
    group.tick("a", 2)

    while any("serialized" in message for message in group.flying["a", "b"]):
        group.deliver("a", "b", 1)
    second = successor_of_a(group)

    assert (first, second) == (WON, WON)


def test_h2_an_older_snapshot_is_not_installed() -> None:
    group = led_by_a()
    group.network.disconnect("a", "b")
    for number in range(5):
        group.create("a", f"k{number}")
    group.settle("ac")
    group.compact("a")
    group.join("a", "b")
    group.beat("a")
    stale = [message for message in group.flying("a", "b") if isinstance(message, wire.Chunk)]
    group.settle("ab")
    group.create("a", "leader")
    group.settle("ab")
    before = group.log("b")
    watch = group.node("b").store.watch("", lambda: None)

    for message in stale:
        group.node("b")._core.receive("a", message)
    assert "leader" in group.node("b")._replica.machine.entries
    group.step("b")

    assert stale
    assert group.log("b") == before
    assert "leader" in group.keys("b")
    assert list(watch.poll()) == []


def test_h4_the_library_drops_what_it_has_acknowledged() -> None:
    """Each append deletes all that follows its previous entry, so the backlog sent a second time
    takes a committed entry from its only other copy."""
    group = stock_led_by_a(appendEntriesBatchSizeBytes=100)
    group.cut = {("a", "b"), ("b", "a")}
    for number in range(12):
        group.create("a", f"k{number}")
    group.round("a", "c", 8)
    group.heal()
    group.beat("a")
    group.beat("a")
    group.deliver("a", "b")
    group.isolate("c")
    first = group.create("a", "leader")
    group.deliver("b", "a", 1)
    group.beat("a")
    first_copy = len(group.flying["a", "b"])
    group.deliver("b", "a", 1)
    group.beat("a")
    group.deliver("a", "b", first_copy)
    group.deliver("b", "a")
    group.tick("a", 2)

    group.deliver("a", "b", 1)
    second = successor_of_a(group)

    assert (first, second) == (WON, WON)


def test_h4_a_repeated_append_removes_nothing() -> None:
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


def test_h4_the_library_cuts_a_committed_entry_with_a_line_in_the_log() -> None:
    group = stock_led_by_a()
    group.create("a", "k")
    group.round("a", "bc")
    wrong = {
        "type": "append_entries",
        "term": group.node("a").term + 1,
        "commit_index": 9,
        "entries": [(b"\x01", 2, 77)],
        "prevLogIdx": 1,
        "prevLogTerm": 0,
    }
    assert "k" in group.node("b").entries

    group.flying["a", "b"].append(wrong)
    group.deliver("a", "b")

    assert group.node("b").log == [(1, 0), (2, 77)]
    assert group.raised == []


def test_h4_a_leader_that_contradicts_a_committed_entry_ends_the_process() -> None:
    group = led_by_a()
    group.create("a", "k")
    group.settle()
    wrong = wire.Append(group.term("a") + 1, 9, 1, 0, [wire.LogEntry(b"\x01", 2, 77)])

    group.inject("a", "b", wrong)
    with pytest.raises(Fatal, match="committed"):
        group.deliver("a", "b")


def test_h12_the_library_counts_an_acknowledgement_of_an_earlier_term() -> None:
    """An acknowledgement says an index and no term: one for entries that were overwritten since
    makes a majority of five out of two copies."""
    group = stock_led_by_a("abcde")
    for number in range(5):
        group.create("a", f"old{number}")
    group.beat("a")
    group.deliver("a", "b")
    late = group.flying["b", "a"].pop()
    group.isolate("b")
    for link, messages in group.flying.items():
        if "a" in link or "b" in link:
            messages.clear()
    group.elect("c", "cde")
    group.round("c", "ade")
    group.elect("a", "acde")
    group.isolate("a", "c")

    mine = group.create("a", "leader")
    group.round("a", "c")
    assert mine == []
    group.flying["b", "a"].append(late)
    group.deliver("b", "a")
    group.tick("a", 2)

    assert mine == WON
    last = group.node("a").log[-1]
    assert [name for name in "abcde" if last in group.node(name).log] == ["a", "c"]


def test_h12_an_acknowledgement_of_an_earlier_term_counts_for_nothing() -> None:
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


def test_h23_the_library_never_catches_up_behind_a_conflict() -> None:
    """It goes back entry by entry, and each step is undone by an answer to a message that was sent
    before, as long as the backlog spans more than one of them."""
    group = stock_led_by_a()
    group.isolate("a")
    for number in range(4):
        group.create("a", f"lost{number}")
    group.elect("b", "bc")
    for number in range(40):
        group.create("b", f"k{number}", "x" * 4000)
    group.round("b", "c", 8)

    group.heal()
    group.round("b", "ac", 40)

    assert group.node("c").log == group.node("b").log
    assert len(group.node("a").log) < len(group.node("b").log)
    assert group.node("a").entries == {}


def test_h23_a_long_backlog_behind_a_conflict_is_caught_up() -> None:
    group = led_by_a()
    before = len(group.log("a"))
    group.isolate("a")
    for number in range(4):
        group.create("a", f"lost{number}")
    assert len(group.log("a")) == before + 4
    group.elect("b", "bc")
    group.join("a", "b")
    for number in range(60):
        group.create("b", f"k{number}", b"x" * 8000)
    group.settle("bc")
    group.beat("b")
    group.network.disconnect("a", "b")  # with all that was under way: b goes on behind it

    group.join("a", "b")
    group.settle("ab", rounds=8)

    assert group.log("a") == group.log("b")


def test_h28_the_library_floods_a_follower_while_it_has_no_dump() -> None:
    """While a child writes the dump, each tick sends messages without content for a whole
    heartbeat period."""
    group = StockGroup(appendEntriesPeriod=0.1)
    group.elect("a")
    group.cut = {("a", "b"), ("b", "a")}
    for number in range(5):
        group.create("a", f"k{number}")
    group.round("a", "c")
    group.compact("a")
    group.heal()
    group.beat("a")
    group.deliver("a", "b")
    group.deliver("b", "a")
    group.node("a").part("serializer")._Serializer__pid = 12345  # the child that writes the dump
    group.flying.clear()

    group.clock_step = 0.0001
    group.beat("a")

    assert len(group.flying["a", "b"]) > 300
    assert {message["serialized"] for message in group.flying["a", "b"]} == {None}


def test_h28_a_follower_that_needs_a_snapshot_gets_it_once_a_heartbeat() -> None:
    group = led_by_a()
    group.network.disconnect("a", "b")
    for number in range(5):
        group.create("a", f"k{number}")
    group.settle("ac")
    group.compact("a")
    group.join("a", "b")
    group.network.flying["a", "b"].clear()

    group.beat("a")

    kinds = [type(message) for message in group.flying("a", "b")]
    assert kinds.count(wire.Chunk) == 1
    assert len(kinds) <= 2


def test_the_library_answers_with_success_where_all_is_well() -> None:
    """What the scenarios stand on: without a fault the harness and the library do their work."""
    group = StockGroup()
    group.elect("a")
    answers = group.create("b", "k")
    group.deliver("b", "a")
    group.round("a", "bc")

    assert answers == WON
    assert [group.node(name).entries for name in "abc"] == [{"k": "b"}] * 3
