"""Whose name it is, where a machine that was replaced, or its successor, comes too early or late.

A name belongs to one living node; nobody who has its vote may be kept out by one who has not.
"""

from __future__ import annotations

from raftha.model.membership import MemberVerb
from tests.unit.consensus.test_wishes import ask, born, replaced, seated, told, wish


def test_a_voter_is_not_kept_out_by_a_newcomer_of_its_name() -> None:
    """A machine was brought up in its place and nobody wished for that; it comes back after all."""
    group = born()
    old = group.kill("c")
    group.join_anew("d", called="c")
    group.settle("abd", rounds=4)
    assert ("a", "d") in group.network.up
    group.start("c", old, connect=False)
    for other in "ab":
        group.join(other, "c")
    group.settle("abc")
    assert ("a", "d") not in group.network.up
    group.join("a", "d")
    assert ("a", "d") not in group.network.up
    group.kill("b")
    group.create("a", "k")
    group.settle("ac")
    assert "k" in group.keys("c")


def test_who_was_replaced_keeps_its_heir_from_nobody_that_has_just_started() -> None:
    """After a restart nothing is known to be committed, so whoever was a voter is let in; the old
    machine may be there before the one that has its name now, which may lead the group."""
    group = born()
    old = group.kill("c")
    group.start("c", old)
    group.settle()
    replaced(group)
    group.settle("abd", rounds=8)
    group.elect("d", "bd")
    group.settle("abd", rounds=8)
    assert group.leads("d")
    started = group.kill("b")
    group.start("c", old, connect=False)
    group.start("b", started, connect=False)
    group.join("b", "c")
    assert ("b", "c") in group.network.up
    group.join("b", "d")
    group.create("d", "k")
    group.settle("bd", rounds=6)
    assert ("b", "c") not in group.network.up
    assert "k" in group.keys("b")
    group.join("b", "c")
    assert ("b", "c") not in group.network.up


def test_who_was_replaced_is_let_go_as_soon_as_that_is_known_to_be_committed() -> None:
    """All have just started, and the new machine is away."""
    group = born()
    old = group.kill("c")
    group.start("c", old)
    group.settle()
    replaced(group)
    started = {name: group.kill(name) for name in "abd"}
    for name, disk in (("a", started["a"]), ("b", started["b"]), ("c", old)):
        group.start(name, disk, connect=False)
    for left, right in ("ab", "ac", "bc"):
        group.join(left, right)
    assert ("a", "c") in group.network.up
    group.elect("a", "ab")
    group.settle("ab")
    assert ("a", "c") not in group.network.up


def test_whom_the_log_names_takes_its_place_though_nothing_is_known_to_be_committed() -> None:
    """The old machine and the new one have just started like everybody else, and the third voter is
    gone with its directory: without the new machine nobody can be elected."""
    group = born()
    old = group.kill("c")
    group.start("c", old)
    group.settle()
    replaced(group)
    started = {name: group.kill(name) for name in "abd"}
    group.start("b", started["b"], connect=False)
    group.start("c", old, connect=False)
    group.start("d", started["d"], connect=False, called="c")
    group.join("b", "c")
    assert ("b", "c") in group.network.up
    group.join("b", "d")
    assert ("b", "c") not in group.network.up
    group.elect("d", "bd")
    assert group.leads("d")


def test_who_lost_its_seat_is_let_go_by_one_that_knew_of_neither_when_it_started() -> None:
    """Found by the simulation: b starts with a snapshot of before the machine at d got its seat, so
    d, which lost it since, may know more than b does. It stayed, and kept the new owner of its
    name out for ever."""
    group = born()
    group.compact("b")
    group.join_anew("d")
    group.settle(rounds=8)
    ask(group, "a", wish(MemberVerb.ADD, "d"))
    group.settle(rounds=12)
    old = group.kill("d")
    ask(group, "a", wish(MemberVerb.REMOVE, "d"), told(group, "a", "d"))
    group.settle("abc", rounds=8)
    assert seated(group, "b") == {*"abc"}

    started = group.kill("b")
    group.start("b", started, connect=False)
    group.start("d", old, connect=False)
    group.step("b")
    group.join("b", "d")
    assert ("b", "d") in group.network.up
    for other in "ac":
        group.join("b", other)
    group.settle("abc", rounds=6)

    assert ("b", "d") not in group.network.up
    group.join_anew("e", called="d")
    group.settle("abce", rounds=8)
    assert ("b", "e") in group.network.up


def test_the_name_is_kept_for_its_address_where_both_machines_have_lost_their_directories() -> None:
    """Found by the simulation: neither has a vote by what it holds now. The machine that had been
    replaced came first, and kept the voter out for ever."""
    group = born()
    replaced(group)
    group.kill("d")
    group.join_anew("c", "third life")
    group.settle("abc", rounds=4)
    assert ("a", "c") in group.network.up

    group.join_anew("d", "second life", called="c")
    group.settle("abd", rounds=14)

    assert ("a", "c") not in group.network.up
    assert group.voters("a")["d"] == "second life of d"
    group.join("a", "c")
    assert ("a", "c") not in group.network.up
