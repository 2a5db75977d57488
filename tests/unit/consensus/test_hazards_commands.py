"""The hazards of commands and their answers: H11, H14 to H17, H31, H33 and H34 of
`docs/consensus.md`.

Of each pair the first test shows what the released library does, the second what becomes of the
same schedule here.
"""

from __future__ import annotations

from typing import Any

import pysyncobj.pickle as library_pickle
import pytest
from pysyncobj import _COMMAND_TYPE, replicated

from raftha.consensus import commands, wire
from raftha.consensus.commands import LogCommand
from raftha.errors import StoreUnavailable
from raftha.instants import Seconds
from raftha.model.store import (
    Barrier,
    Command,
    Committed,
    Key,
    KeyAbsent,
    NotSent,
    Outcome,
    Put,
    Rejected,
    Transact,
)
from tests.sim.fakes import Fatal
from tests.sim.group import Group
from tests.unit.consensus.stock import SUCCESS, WON, Stock, StockGroup, library_time

pytestmark = pytest.mark.usefixtures("quiet_library")


def led_by_a(names: str = "abc") -> Group:
    group = Group(names)
    group.elect("a")
    assert group.leads("a")
    return group


def submit(group: Group, name: str, command: Command, timeout: float = 1e5) -> list[Outcome]:
    outcomes: list[Outcome] = []
    group.node(name).store.submit(command, timeout=Seconds(timeout), done=outcomes.append)
    group.step(name)
    return outcomes


class Poisoned(Stock):
    """One replicated method fails on every node."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.attempts = 0

    @replicated
    def poison(self) -> None:
        self.attempts += 1
        raise ValueError("poison")


class Upgraded(Stock):
    """A later release of the same program, with one more method."""

    @replicated
    def audit(self, *_: object) -> None:
        self.applied.append("audit")


def test_h11_the_library_takes_the_answer_to_an_earlier_process_for_ours() -> None:
    """Requests are numbered from 1 in each process, so the late answer to `config` is taken for the
    answer to `leader`."""
    group = StockGroup()
    group.elect("a")
    group.create("b", "config")
    group.deliver("b", "a")
    group.tick("a")
    late = group.flying["a", "b"].pop()
    group.kill("b")
    group.create("a", "leader")
    group.start("b")
    group.deliver("a", "b")
    group.nodes["b"]._SyncObj__raftLeader = next(iter(group.node("b").otherNodes))

    answers = group.create("b", "leader")
    group.flying["a", "b"].append(late)
    group.deliver("a", "b")
    group.round("a", "bc")

    assert late["type"] == "apply_command_response"
    assert answers == WON
    assert group.node("b").entries["leader"] == "a"


def test_h11_an_answer_to_an_earlier_process_is_not_taken_for_ours() -> None:
    """Both processes number their first command 1; a restarted voter applies the old one again."""
    group = led_by_a()
    first = group.create("b", "config")
    group.settle()
    group.settle()
    assert isinstance(first[0], Committed)
    group.create("a", "leader", b"a")
    group.settle()
    group.settle()

    group.start("b", group.kill("b"))
    group.step("abc")
    mine = group.create("b", "leader", b"b")
    group.settle()
    group.settle()

    assert group.node("b").store.peek().entries["leader"].value == b"a"
    assert [type(outcome) for outcome in mine] == [Rejected]


def test_h14_the_library_applies_an_entry_again_when_its_callback_fails() -> None:
    group = StockGroup()
    group.elect("a")

    def fail(*_: object) -> None:
        raise RuntimeError("a bug of the caller")

    with library_time(lambda: group.now):
        group.node("a").create("k", 1, callback=fail)
    group.round("a", "bc")

    assert len(group.raised) == 1
    assert group.node("a").applied == ["k", "k"]
    assert group.node("b").applied == ["k"]


def test_h14_an_answer_is_given_after_its_entry_was_applied() -> None:
    """A caller runs once the round is over: what it raises cannot touch the state machine."""
    group = led_by_a()
    group.create("a", "first")
    group.settle()
    seen: list[tuple[int, set[str]]] = []

    def done(_: Outcome) -> None:
        seen.append((group.node("a")._core.engine.applied_index, group.keys("a")))

    body = Transact((KeyAbsent(Key("k")),), (Put(Key("k"), b""),))
    group.node("a").store.submit(body, timeout=Seconds(1e5), done=done)
    group.step("a")
    group.settle()

    assert seen == [(group.log("a")[-1][0], {"first", "k"})]


def test_h15_the_library_applies_a_poisoned_entry_for_ever() -> None:
    """An exception in a replicated method is met again in every tick; nothing behind it is
    applied, and no entry or heartbeat leaves the raft leader any more."""
    group = StockGroup(kind=Poisoned)
    group.elect("a")
    with library_time(lambda: group.now):
        group.node("a").poison()
    group.round("a", "bc", 8)
    later = group.create("a", "k")
    group.round("a", "bc", 8)

    assert group.node("a").attempts > 8
    assert later == []
    group.flying.clear()
    group.beat("a")
    assert not any(group.flying.values())


def test_h15_bytes_that_are_no_command_never_enter_the_log() -> None:
    """What cannot be applied is refused before the log, where it harms nobody; found in the log
    nevertheless, it ends the process rather than to let the replicas differ."""
    group = led_by_a()
    assert not group.node("a")._core._intake.append(b"\xff garbage")
    later = group.create("a", "k")
    group.settle()
    group.settle()

    assert isinstance(later[0], Committed)
    assert group.keys("b") == {"k"}
    with pytest.raises(Fatal, match="cannot be read"):
        group.node("b")._replica.apply(99, b"\xff garbage")


def test_h16_the_library_carries_out_what_its_caller_gave_up_long_ago() -> None:
    """By default a command waits for a raft leader without limit, whatever its caller does."""
    group = StockGroup(commandsWaitLeader=True)
    answers = group.create("b", "leader")
    group.now += 1000.0
    assert answers == []

    group.elect("a")
    group.round("a", "bc")
    group.tick("b")
    group.deliver("b", "a")
    group.round("a", "bc")

    assert group.node("a").entries["leader"] == "b"


def test_h16_a_command_that_ran_out_of_time_is_not_handed_over() -> None:
    group = Group()
    outcomes = submit(group, "b", Transact((KeyAbsent(Key("k")),), (Put(Key("k"), b""),)), 10.0)
    group.pass_time("b", 11.0)
    group.step("b")
    group.elect("a")
    group.settle()

    assert [type(outcome) for outcome in outcomes] == [NotSent]
    assert group.keys("a") == set()


def test_h16_the_raft_leader_appends_nothing_whose_time_is_over() -> None:
    group = led_by_a()
    last = group.log("a")[-1]
    late = commands.encode(LogCommand(body=Barrier()))

    group.inject("b", "a", wire.Forward(late, 0.0))
    group.deliver("b", "a")

    assert group.log("a")[-1] == last


def test_h17_the_library_serves_an_old_value_for_half_a_minute() -> None:
    """A cut-off leader believes in itself for `leaderFallbackTimeout`, 30 s by default, and a read
    is whatever the local object holds."""
    group = StockGroup(leaderFallbackTimeout=30.0, raftMinTimeout=0.4, raftMaxTimeout=1.4)
    group.elect("a")
    group.isolate("a")
    group.now += 1.0
    group.elect("b", "bc")
    group.create("b", "leader")
    group.round("b", "c")
    group.now += 28.0
    group.tick("a")

    assert group.node("a")._isLeader()
    assert group.node("a").entries == {}
    assert group.node("c").entries == {"leader": "b"}


def test_h17_a_read_waits_for_the_majority() -> None:
    group = led_by_a()
    group.create("a", "first")
    group.settle()
    group.isolate("a")
    outcomes = submit(group, "a", Barrier(), 30.0)
    group.settle("a")
    assert outcomes == []

    group.pass_time("a", 31.0)
    group.step("a")

    assert not isinstance(outcomes[0], Committed)


def test_h17_a_cut_off_leader_says_soon_that_it_has_no_majority() -> None:
    group = led_by_a()
    group.isolate("a")
    assert group.node("a")._core.has_majority

    group.pass_time("a", float(group.timings.fallback) + 1)

    assert not group.node("a")._core.has_majority


def test_h17_a_read_is_refused_where_no_majority_answers() -> None:
    """The store of a node that nobody drives: the local replica is there, and is not the answer."""
    node = Group().node("a")

    with pytest.raises(StoreUnavailable):
        node.store.read(timeout=Seconds(0.01))
    assert node.store.peek().entries == {}


def test_h31_the_library_answers_nothing_that_a_snapshot_jumped_over() -> None:
    group = StockGroup()
    group.elect("a")
    group.round("a", "bc")
    answers = group.create("b", "k")
    group.deliver("b", "a")
    group.tick("a")
    group.deliver("a", "b")
    group.cut = {("a", "b"), ("b", "a")}
    for number in range(4):
        group.create("a", f"k{number}")
    group.round("a", "c")
    group.compact("a")
    group.heal()
    group.round("a", "bc", 8)

    assert group.node("b").entries["k"] == "b"
    assert answers == []


def test_h31_a_snapshot_answers_what_it_jumped_over() -> None:
    group = led_by_a()
    group.create("b", "first")
    group.settle()
    answers = group.create("b", "k")
    group.network.deliver("b", "a")
    group.step("a")
    group.network.disconnect("a", "b")
    for number in range(4):
        group.create("a", f"k{number}")
    group.settle("ac")
    group.compact("a")
    group.join("a", "b")
    group.settle()

    assert "k" in group.keys("b")
    assert isinstance(answers[0], Committed)


def test_h33_the_library_applies_entries_twice_behind_a_version_it_does_not_know() -> None:
    group = StockGroup()
    group.node("b")._SyncObj__selfCodeVersion = 5
    group.elect("a")
    with library_time(lambda: group.now):
        payload = library_pickle.dumps(5)
        group.node("a")._applyCommand(payload, None, _COMMAND_TYPE.VERSION)
    group.create("a", "k0")
    group.round("a", "bc", 6)

    assert group.node("a").applied == ["k0", "k0"]
    assert group.node("b").applied == ["k0"]


def test_h34_the_library_calls_another_method_on_a_node_of_another_release() -> None:
    """Methods are numbered in the order of their names, so a mixed group disagrees silently."""
    group = StockGroup()
    group.kill("b")
    group.start("b", kind=Upgraded)
    group.elect("a")
    answers = group.create("a", "leader")
    group.round("a", "bc")

    assert answers == [(True, SUCCESS)]
    assert group.node("b").applied == ["audit"]
    assert group.node("b").entries == {}


def test_h33_h34_a_command_of_another_release_is_never_guessed_at() -> None:
    """A command names itself, and a format that this release does not know ends the process."""
    group = led_by_a()
    known = commands.encode(LogCommand(body=Barrier()))
    assert known[1] == commands.FORMAT
    newer = known[:1] + bytes([commands.FORMAT + 1]) + known[2:]

    assert not group.node("a")._core._intake.append(newer)
    with pytest.raises(Fatal, match="upgrade raftha"):
        group.node("b")._replica.apply(99, newer)


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
