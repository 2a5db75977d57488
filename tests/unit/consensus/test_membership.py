"""Voters come and go through the log: one at a time, each by its incarnation."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from raftha.consensus import configuration, wire
from raftha.consensus.commands import NewerFormat, WireError
from raftha.consensus.configuration import Configuration, Seat, fault_of_step
from raftha.model.store import Committed
from tests.sim.fakes import Fatal
from tests.sim.group import Group

A, B, C = (Seat(name, name, f"life of {name}") for name in "abc")
ABC = Configuration(lineage="x", seats=(A, B, C))


def born(names: str = "abc") -> Group:
    """A group whose first raft leader has written down who votes."""
    group = Group(names)
    group.elect("a")
    group.settle()
    return group


def entry(group: Group, name: str, after: Configuration) -> wire.Append:
    """What a raft leader would send to append this behind a node's log."""
    last, term = group.log(name)[-1]
    command = configuration.encode(after)
    return wire.Append(term, 0, last, term, [wire.LogEntry(command, last + 1, term)])


def present(group: Group, name: str) -> Configuration:
    latest = group.node(name)._core.membership.latest
    assert latest is not None
    return latest


# The steps.


@pytest.mark.parametrize(
    ("after", "allowed"),
    [
        ((A, B, C), True),
        ((A, B), True),
        ((A, B, C, Seat("d", "d", "1")), True),
        ((A,), False),
        ((A, B, Seat("c", "c", "another life")), False),
        ((A, B, Seat("d", "d", "1")), False),
        ((A, A, B), False),
        ((), False),
    ],
)
def test_a_step_changes_one_voter_at_most(after: tuple[Seat, ...], allowed: bool) -> None:
    """To exchange an incarnation takes two: the old majority and the new could be strangers."""
    assert (fault_of_step(ABC.seats, replace(ABC, seats=after)) is None) is allowed


def test_to_write_down_who_votes_at_an_address_is_no_change() -> None:
    unbound = (Seat("a"), Seat("b"), Seat("c"))
    assert fault_of_step(unbound, ABC) is None


def test_the_entry_is_read_as_it_was_written_and_nothing_else() -> None:
    both = ABC.expecting(Seat("d", "d", "1", witness=True))
    assert configuration.decode(configuration.encode(both)) == both
    assert configuration.decode(b"\x00 a command") is None
    with pytest.raises(WireError):
        configuration.decode(configuration.KIND + b"\xff")
    with pytest.raises(NewerFormat, match="upgrade"):
        configuration.decode(configuration.KIND + b"\x91\x07")


# Birth.


def test_the_first_raft_leader_writes_down_who_votes() -> None:
    group = born()
    assert group.voters("a") == group.voters("c") == {n: f"life of {n}" for n in "abc"}


def test_who_shows_up_late_is_bound_later() -> None:
    group = Group("ab")
    for name in "ab":
        group.start(name, group.kill(name), file="abc")
    group.elect("a")
    group.settle()
    assert group.voters("b") == {"a": "life of a", "b": "life of b", "c": ""}
    group.join_anew("c", "first life")
    group.settle()
    assert group.voters("b")["c"] == "first life of c"
    assert group.voters("c") == group.voters("b")


def test_voters_of_a_later_start_are_those_of_the_log_whatever_the_file_says() -> None:
    group = born()
    group.compact("b")
    disk = group.kill("b")
    group.start("b", disk, file="bx")
    assert group.voters("b") == {n: f"life of {n}" for n in "abc"}


# What is in force.


def test_a_configuration_counts_from_the_moment_it_is_appended() -> None:
    """The commit index is not durable, so a restarted node could fall back to an older set."""
    group = born()
    group.isolate("b")
    group.inject("a", "b", entry(group, "b", present(group, "b").without("c")))
    group.network.connect("a", "b")
    group.inject("a", "b", entry(group, "b", present(group, "b").without("c")))
    group.deliver("a", "b", 2)
    assert set(group.voters("b")) == {"a", "b"}
    assert {node.id for node in group.node("b")._core.engine.otherNodes} == {"a"}
    disk = group.kill("b")
    group.start("b", disk, connect=False)
    assert set(group.voters("b")) == {"a", "b"}


def test_a_configuration_that_is_cut_from_the_log_is_in_force_no_more() -> None:
    group = born()
    group.isolate("c")
    lone = group.node("c")._core
    last = group.log("c")[-1][0]
    lone._journal.add(configuration.encode(present(group, "c").without("b")), last + 1, 0)
    lone.council.follow_log()
    assert set(group.voters("c")) == {"a", "c"}
    group.create("a", "k")
    group.settle("ab")
    for name in "ab":
        group.join(name, "c")
    group.settle()
    assert group.log("c") == group.log("a")
    assert set(group.voters("c")) == {"a", "b", "c"}


def test_a_set_that_skips_a_step_ends_the_process() -> None:
    group = born()
    wrong = replace(present(group, "b"), seats=(A,))
    group.inject("a", "b", entry(group, "b", wrong))
    with pytest.raises(Fatal, match="2 voters"):
        group.deliver("a", "b")


def test_a_set_of_voters_that_cannot_be_read_is_not_kept() -> None:
    group = born()
    last, term = group.log("b")[-1]
    broken = wire.LogEntry(configuration.KIND + b"\xff", last + 1, term)
    group.inject("a", "b", wire.Append(term, 0, last, term, [broken]))
    group.deliver("a", "b")
    assert group.log("b")[-1] == (last, term)
    newer = wire.LogEntry(configuration.KIND + b"\x91\x07", last + 1, term)
    group.join("a", "b")
    group.network.flying["a", "b"].clear()
    group.inject("a", "b", wire.Append(term, 0, last, term, [newer]))
    with pytest.raises(Fatal, match="upgrade"):
        group.deliver("a", "b")


def test_a_raft_leader_changes_nothing_before_its_own_term_is_committed() -> None:
    """Ongaro's correction: a step that an earlier raft leader left behind may still take effect."""
    group = born()
    group.start("a", group.kill("a"))
    group.join_anew("c")
    group.campaign("b")
    group.deliver("b", "a")
    group.deliver("a", "b")
    assert group.leads("b")
    for _ in range(8):
        group.beat("b")
        group.network.flying["b", "a"].clear()
        # a is in touch and says so, but acknowledges nothing.
        group.inject("a", "b", wire.Progress(group.term("b"), 1, reset=False, success=False))
        group.deliver("a", "b")
        group.deliver("b", "c")
        group.deliver("c", "b")
    assert group.voters("b")["c"] == "life of c"
    group.settle(rounds=8)
    assert group.voters("b")["c"] == "new life of c"


def test_a_second_step_waits_for_the_first() -> None:
    """Two at once, and a majority of the one set and one of the other could be strangers."""
    group = born("abcde")
    for name in "de":
        group.join_anew(name)
    group.settle("ade", rounds=8)
    assert set(group.voters("a")) in ({*"abce"}, {*"abcd"})
    group.settle(rounds=12)
    assert {group.voters("b")[name] for name in "de"} == {"new life of d", "new life of e"}


# Newcomers.


def test_a_voter_with_an_emptied_directory_gets_its_seat_back_by_itself() -> None:
    group = born()
    group.create("a", "k")
    group.settle()
    group.join_anew("c")
    group.settle(rounds=8)
    assert group.voters("a")["c"] == "new life of c"
    assert group.voters("c") == group.voters("b") == group.voters("a")
    group.kill("a")
    group.elect("c", "bc")
    assert group.leads("c")
    assert "k" in group.keys("c")


def test_the_raft_leader_itself_gets_its_seat_back() -> None:
    group = born()
    group.kill("a")
    group.elect("b", "bc")
    group.join_anew("a")
    group.settle(rounds=8)
    assert group.voters("b")["a"] == "new life of a"


def test_a_node_that_joins_neither_campaigns_nor_votes_nor_counts() -> None:
    """It forgot what it promised: its vote could elect a node that misses a committed entry."""
    group = born()
    group.isolate("c")
    acknowledged = group.create("a", "k")
    group.settle("ab")
    assert isinstance(acknowledged[0], Committed)
    group.isolate("a")
    group.join_anew("b")
    group.network.connect("b", "c")
    group.settle("bc")
    assert not group.node("b")._core.membership.is_voter
    group.elect("c", "bc")
    group.campaign("b")
    group.settle("bc")
    assert not group.leads("c")
    assert not group.leads("b")
    assert group.term("b") <= group.term("c")


def test_two_emptied_voters_found_no_cluster_of_their_own_beside_the_third() -> None:
    """Their files call them the majority of a cluster that is to be born."""
    group = born()
    group.create("a", "k")
    group.settle()
    group.start("a", group.kill("a"))
    for name in "bc":
        group.kill(name)
    for name in "bc":
        group.join_anew(name)
    group.settle()
    group.elect("b", "bc")
    assert not group.leads("b")
    assert present(group, "a").at("b") is not None


def test_a_node_that_joins_disturbs_nobody_however_long_it_waits() -> None:
    group = born()
    group.start("a", group.kill("a"))
    group.join_anew("b")
    group.network.flying["b", "c"].clear()
    for _ in range(20):
        group.pass_time("b", 4e5)
        group.step("b")
    assert group.flying("b", "c") == []
    assert group.term("b") == 0


def test_a_newcomer_with_a_new_name_holds_the_log_and_waits_for_the_operator() -> None:
    group = born()
    group.create("a", "k")
    group.settle()
    group.join_anew("d")
    group.settle(rounds=8)
    assert set(group.voters("a")) == {"a", "b", "c"}
    assert group.keys("d") == {"k"}
    joiners = group.node("a").store.status().joiners
    assert [(joiner.name, joiner.match_index) for joiner in joiners] == [
        ("d", group.log("a")[-1][0])
    ]
    own = group.node("d").store.status().joiners
    assert [(joiner.name, joiner.is_self) for joiner in own] == [("d", True)]


def test_what_a_newcomer_holds_makes_no_majority() -> None:
    group = born()
    group.join_anew("d")
    group.settle(rounds=6)
    committed = group.node("a")._core.engine.commit_index
    group.isolate("b")
    group.isolate("c")
    group.create("a", "k")
    group.settle("ad", rounds=6)
    assert group.log("d")[-1][0] > committed
    assert group.node("a")._core.engine.commit_index == committed


def test_a_seat_is_not_given_away_while_the_rest_has_no_majority() -> None:
    group = born()
    group.isolate("b")
    group.join_anew("c")
    group.network.disconnect("b", "c")
    group.settle("ac", rounds=8)
    assert set(group.voters("a")) == {"a", "b", "c"}
    assert group.voters("a")["c"] == "life of c"


def test_an_admission_goes_on_under_the_next_raft_leader() -> None:
    """The step that took the old seat names who is to get the new one."""
    group = born()
    group.join_anew("c")
    for _ in range(20):
        if "c" not in group.voters("a"):
            break
        group.settle(rounds=1)
    assert [seat.incarnation for seat in present(group, "a").expected] == ["new life of c"]
    group.settle("ab", rounds=1)
    group.start("a", group.kill("a"))
    group.elect("b")
    group.settle(rounds=8)
    assert group.voters("b")["c"] == "new life of c"


def test_a_newcomer_whose_admission_was_undone_is_still_one() -> None:
    """The entry that gave it a seat was cut from its log: it never had one."""
    group = born()
    group.join_anew("d")
    group.settle()
    core = group.node("d")._core
    last, term = group.log("d")[-1]
    admitted = present(group, "d").admitting(Seat("d", "d", "new life of d"))
    core._journal.add(configuration.encode(admitted), last + 1, term)
    core.council.follow_log()
    assert not core.council.present.is_new
    core._journal.deleteEntriesFrom(len(core._journal) - 1)
    core.council.follow_log()
    assert core.council.present.is_new
