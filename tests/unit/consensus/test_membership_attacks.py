"""Schedules that try to make a voter of whom nobody should count, or to leave one outside for ever.

Each is a story of lost disks and cut links around a change of the set of voters.
"""

from __future__ import annotations

from raftha.consensus.configuration import Configuration
from tests.sim.fakes import Disk
from tests.sim.group import Group


def born(names: str = "abc") -> Group:
    """A group whose first raft leader has written down who votes."""
    group = Group(names)
    group.elect("a")
    group.settle()
    return group


def born_without_c() -> Group:
    """Three voters by their files, of whom the third was never seen."""
    group = Group("ab")
    for name in "ab":
        group.start(name, group.kill(name), file="abc")
    group.elect("a")
    group.settle()
    group.names = "abc"
    return group


def present(group: Group, name: str) -> Configuration:
    latest = group.node(name)._core.membership.latest
    assert latest is not None
    return latest


def test_two_incarnations_answer_in_turn_at_a_seat_that_nobody_is_bound_to() -> None:
    """Each side of a cut meets another one, and would count it."""
    group = born_without_c()
    group.isolate("a")
    group.start("c", Disk(incarnation="first life"), connect=False)
    group.join("b", "c")
    assert not group.node("b")._core.membership.votes("c")
    group.elect("b", "bc")
    group.create("b", "k")
    group.settle("bc", rounds=8)
    committed = "k" in group.keys("b")
    group.kill("c")
    group.start("c", Disk(incarnation="second life"), connect=False)
    group.join("a", "c")
    group.elect("a", "ac")
    group.settle("ac", rounds=8)
    assert not (committed and group.leads("a"))


def test_who_has_met_a_cluster_founds_none_with_another_that_is_empty() -> None:
    """It heard that the voters stand in a log, though not yet in its own."""
    group = born_without_c()
    group.elect("b")
    group.start("c", Disk(incarnation="first life"), connect=False)
    group.join("a", "c")
    assert group.node("c")._core.membership.latest is None
    group.isolate("a")
    group.kill("b")
    group.start("b", Disk(incarnation="second life"), connect=False, file="abc")
    group.join("b", "c")
    group.elect("b", "bc")
    assert not group.leads("b")
    group.elect("c", "bc")
    assert not group.leads("c")


def test_a_seat_that_was_granted_and_undone_keeps_nobody_out() -> None:
    """The newcomer was cut off with the raft leader that gave it the seat: it says that it was a
    voter, and no log but its own says so."""
    group = born("abcde")
    group.join_anew("e")
    for _ in range(20):
        if "e" not in group.voters("a"):
            break
        group.settle(rounds=1)
    group.settle("abcd", rounds=1)
    assert "e" not in group.voters("b")
    for lone in "ae":
        for other in "bcd":
            group.network.disconnect(lone, other)
    group.settle("ae", rounds=2)
    assert group.voters("e").get("e") == "new life of e"
    group.kill("a")
    group.elect("b", "bcd")
    assert group.leads("b")
    for other in "bcd":
        group.join("e", other)
    group.settle("bcde", rounds=10)
    assert group.voters("b").get("e") == "new life of e"
    assert group.log("e") == group.log("b")


def test_a_first_set_that_no_majority_holds_shuts_nobody_out() -> None:
    """The first raft leader is cut off with the set of voters that it has just written, and the
    others write another: that is no second cluster."""
    group = Group()
    group.campaign("a")
    group.deliver("a", "b")
    group.deliver("b", "a")
    assert group.leads("a")
    group.deliver("a", "b")
    group.deliver("b", "a")
    group.step("a")
    assert present(group, "a").at("b") is not None
    assert group.node("b")._core.membership.latest is None
    group.isolate("a")
    group.elect("b", "bc")
    group.settle("bc")
    assert present(group, "b").lineage != present(group, "a").lineage
    for other in "bc":
        group.join("a", other)
    group.settle()
    assert group.log("a") == group.log("b")
    assert present(group, "a") == present(group, "b")


def test_after_a_restart_a_cluster_is_still_told_from_another() -> None:
    """Nothing is known to be committed then; who was let in would overwrite it."""
    group = born()
    group.create("a", "k")
    group.settle()
    kept = group.log("a")
    disk = group.kill("a")
    for name in "bc":
        group.kill(name)
    for name in "bc":
        group.start(name, Disk(incarnation=f"another cluster's {name}"))
    group.elect("b", "bc")
    group.settle("bc")
    group.start("a", disk)
    group.settle(rounds=8)
    assert group.log("a") == kept
    assert ("a", "b") not in group.network.up


def test_after_a_restart_links_are_kept_to_whom_the_log_names() -> None:
    """The file may know fewer: without a link a voter is lost for the majority."""
    group = born()
    disk = group.kill("b")
    group.start("b", disk, connect=False, file="bx")
    group.step("b")
    assert group.network.nodes["b"].known >= {"a", "c"}


def a_first_set_that_died_with_its_writer() -> Group:
    """`a` wrote the first set of voters and was cut off; `b` and `c` have elected another raft
    leader, which has not come to writing one, when they meet `a` again."""
    group = Group()
    group.campaign("a")
    group.deliver("a", "b")
    group.deliver("b", "a")
    group.deliver("a", "b")
    group.deliver("b", "a")
    group.step("a")
    group.isolate("a")
    group.campaign("b")
    group.deliver("b", "c")
    for source, target in ("cb", "bc", "cb"):
        group.deliver(source, target)
    group.beat("b")
    group.deliver("b", "c")
    assert group.leads("b")
    assert present(group, "a").at("b") is not None
    (_, term), (_, later) = group.log("a")[-1], group.log("c")[-1]
    assert term < later
    for name in "bc":
        assert group.node(name)._core.membership.latest is None
        group.join("a", name)
    return group


def restart(group: Group, *names: str) -> None:
    disks = {name: group.kill(name) for name in names}
    for name, disk in disks.items():
        group.start(name, disk)


def test_a_first_set_that_died_with_its_writer_costs_the_others_no_vote() -> None:
    """They hold entries of a later term, which its writer lacks: they forgot nothing."""
    group = a_first_set_that_died_with_its_writer()
    restart(group, *"bc")
    group.elect("b", "bc")
    group.settle()
    assert group.leads("b")
    assert group.log("a") == group.log("b") == group.log("c")
    assert present(group, "a").lineage == present(group, "b").lineage


def test_the_writer_of_a_first_set_that_died_votes_for_one_who_never_had_it() -> None:
    """Its log names whom it votes for, whose log is ahead of its own: the third may be away."""
    group = a_first_set_that_died_with_its_writer()
    restart(group, *"abc")
    group.kill("c")
    group.settle("ab")
    group.elect("b", "ab")
    assert group.leads("b")
    group.settle("ab", rounds=6)
    assert group.log("a") == group.log("b")
