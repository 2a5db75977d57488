"""What may leave a voter before its disk holds it, what may not, and what is not said twice."""

from __future__ import annotations

import pytest

from raftha.consensus import wire
from raftha.errors import StorageFailed
from raftha.model.store import Committed
from tests.sim.group import Group


def led_by_a(names: str = "abc") -> Group:
    """A group whose raft leader has opened its session, so that a command is one entry."""
    group = Group(names)
    group.elect("a")
    group.create("a", "first")
    group.settle()
    group.step("a", 2)
    assert group.keys("a") == {"first"}
    return group


def test_entries_leave_while_the_raft_leader_still_writes_them() -> None:
    """Its disk fails after they left. Both followers hold the entry, so it is committed by the next
    raft leader, and the old one, which lost it, gets it back."""
    group = led_by_a()
    group.seats["a"].disk.sync_fails = True

    with pytest.raises(StorageFailed):
        group.create("a", "k")

    entries = [entry for m in group.flying("a", "b") for entry in getattr(m, "entries", [])]
    assert len(entries) == 1
    for follower in "bc":
        group.deliver("a", follower)
    disk = group.kill("a")
    disk.sync_fails = False
    group.elect("b", "bc")
    group.start("a", disk)
    group.settle()
    assert [group.keys(name) for name in "abc"] == [{"first", "k"}] * 3
    assert len({tuple(group.log(name)) for name in "abc"}) == 1


def test_an_entry_that_only_its_raft_leader_never_wrote_is_given_up() -> None:
    """The entry left, reached nobody, and the disk failed: it never happened, and the same index
    gets another entry in a later term."""
    group = led_by_a()
    before = group.log("a")
    group.seats["a"].disk.sync_fails = True
    with pytest.raises(StorageFailed):
        group.create("a", "lost")
    disk = group.kill("a")
    disk.sync_fails = False

    group.start("a", disk)
    assert group.log("a") == before
    group.elect("a")
    outcome = group.create("a", "k")
    group.settle()

    assert isinstance(outcome[0], Committed)
    assert [group.keys(name) for name in "abc"] == [{"first", "k"}] * 3


def test_a_lone_voter_commits_nothing_that_its_disk_does_not_hold() -> None:
    group = led_by_a("a")
    node = group.node("a")
    committed = node._core.engine.commit_index
    group.seats["a"].disk.sync_fails = True

    with pytest.raises(StorageFailed):
        group.create("a", "k")

    assert node._core.engine.commit_index == committed
    assert set(node._replica.machine.entries) == {"first"}


def test_with_anything_else_to_say_a_raft_leader_waits_for_its_disk() -> None:
    """An answer that reflects this node's state goes through the gate, and entries never overtake
    what was to be sent before them."""
    group = led_by_a()
    group.network.flying["a", "b"].clear()
    group.inject("b", "a", wire.Append(0, 1, 1, 0, []))
    group.network.deliver("b", "a")
    group.seats["a"].disk.sync_fails = True

    with pytest.raises(StorageFailed):
        group.create("a", "k")

    assert group.flying("a", "b") == []


def progress_of_b(group: Group) -> int:
    """How often b answers the next message of its raft leader."""
    group.network.flying["b", "a"].clear()
    group.beat("a")
    group.deliver("a", "b")
    return len(group.flying("b", "a"))


def test_a_follower_says_the_same_thing_again_only_after_a_while() -> None:
    """The news that an entry is committed follows right behind the entry, and needs no answer of
    its own; every other heartbeat is answered, or the raft leader would think itself alone."""
    group = led_by_a()
    group.create("a", "k")
    group.settle()

    assert progress_of_b(group) == 0
    group.pass_time("b", group.timings.append_period * 1.1)
    assert progress_of_b(group) == 0
    group.pass_time("b", group.timings.append_period)
    assert progress_of_b(group) == 1
    group.network.disconnect("a", "b")
    group.join("a", "b")
    assert progress_of_b(group) == 1
