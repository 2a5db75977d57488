"""After a majority is lost for good: what the survivor takes over, and who may join it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from raftha.consensus import configuration, remains
from raftha.consensus.configuration import Configuration, Seat
from raftha.consensus.remains import NotRecoverable, Remains
from raftha.consensus.stable import Persisted
from raftha.consensus.state import LogEntry
from raftha.instants import Seconds
from raftha.model.ids import Revision
from raftha.model.membership import MemberVerb
from raftha.model.store import (
    Command,
    Committed,
    Grant,
    Key,
    KeyAbsent,
    KeyAt,
    LeaseId,
    Outcome,
    Put,
    Refresh,
    Remove,
    Transact,
)
from tests.sim.fakes import BegunAnew, Disk, FakeStore
from tests.sim.group import Group
from tests.unit.consensus.test_wishes import ask, latest, wish

LEADER = Key("leader")
LEASE = LeaseId("leader")


def submit(group: Group, name: str, command: Command) -> list[Outcome]:
    outcomes: list[Outcome] = []
    group.node(name).store.submit(command, timeout=Seconds(1e5), done=outcomes.append)
    group.step(name)
    group.settle()
    return outcomes


def lead(group: Group, name: str, ttl: float = 5.0) -> list[Outcome]:
    """Win the leader key on a lease."""
    writes = (Grant(LEASE, name, Seconds(ttl)), Put(LEADER, name.encode(), LEASE))
    return submit(group, name, Transact((KeyAbsent(LEADER),), writes))


def born(names: str = "abc") -> Group:
    group = Group(names)
    group.elect("a")
    group.settle()
    assert lead(group, "a")
    group.create("a", "kept")
    group.settle()
    return group


def found(disk: Disk) -> Remains:
    return remains.read(FakeStore(disk).load())


def recover(group: Group, name: str, *, connect: bool = True, lineage: str = "new") -> Remains:
    """The only survivor begins the next generation, and its node is started."""
    left = found(group.kill(name))
    own = Seat(name, name, f"{lineage} life of {name}")
    beginning = remains.begin(left, own, lineage, None)
    disk = Disk(incarnation=own.incarnation)
    disk.records.term = beginning.term
    disk.records.snapshot = beginning.snapshot
    disk.records.entries = list(beginning.entries)
    group.start(name, disk, connect=connect)
    return left


def generation(group: Group, name: str) -> int:
    return group.node(name).store.peek().generation


def test_the_survivor_alone_goes_on_with_all_it_held_and_without_leases() -> None:
    group = born()
    for lost in "bc":
        group.kill(lost)
    left = recover(group, "a")
    group.elect("a")

    assert group.leads("a")
    assert group.term("a") > left.term
    assert (generation(group, "a"), group.keys("a")) == (1, {"kept"})
    assert not group.node("a").store.peek().leases
    (outcome,) = lead(group, "a")
    assert isinstance(outcome, Committed)


def test_an_epoch_of_the_new_generation_is_above_those_that_the_survivor_never_saw() -> None:
    group = born()
    group.isolate("a")
    group.elect("b", among="bc")
    for number in range(9):
        group.create("b", f"unseen {number}")
        group.settle("bc")
    held = group.node("b").store.peek().entries[LEADER].mod_revision
    submit(group, "b", Transact((KeyAt(LEADER, held),), (Remove(LEADER),)))
    submit(group, "b", Transact((KeyAbsent(LEADER),), (Put(LEADER, b"b"),)))
    old = group.node("b").store.peek()
    for lost in "bc":
        group.kill(lost)
    recover(group, "a")
    group.elect("a")
    lead(group, "a")

    new = group.node("a").store.peek()
    assert new.revision < old.revision
    (was, now) = (old.epoch_of(LEADER), new.epoch_of(LEADER))
    assert was is not None
    assert now is not None
    assert now > was


def test_what_was_appended_and_never_committed_counts_as_having_happened() -> None:
    """The commit index is not stored, so this node cannot know that it was not."""
    group = born()
    group.isolate("a")
    group.create("a", "nobody else has it")
    for lost in "bc":
        group.kill(lost)
    recover(group, "a")
    group.elect("a")
    assert group.keys("a") == {"kept", "nobody else has it"}


def test_a_majority_of_the_past_is_not_listened_to_and_joins_with_nothing() -> None:
    """It goes on without the survivor until one of it meets the survivor, and is told."""
    group = born()
    group.isolate("a")
    group.elect("b", among="bc")
    group.create("b", "a commit of the past")
    group.settle("bc")
    recover(group, "a", connect=False)
    group.elect("a", among="a")
    term = group.term("a")

    for name in "bc":
        group.network.connect("a", name)
        assert ("a", name) not in group.network.up
        with pytest.raises(BegunAnew, match="recovered without this node"):
            group.step(name)
    assert group.term("a") == term
    for name in "bc":
        group.start(name, group.kill(name))
    group.settle(rounds=12)

    assert set(group.voters("a")) == {"a", "b", "c"}
    assert group.voters("b") == group.voters("a")
    assert group.voters("a")["b"] != "life of b"
    assert (generation(group, "b"), group.keys("b")) == (1, {"kept"})


def test_one_of_the_past_that_comes_back_alone_has_no_majority_in_either() -> None:
    group = born()
    disks = {name: group.kill(name) for name in "bc"}
    recover(group, "a")
    group.elect("a")
    group.start("b", disks["b"], connect=False)
    group.campaign("b")
    assert not group.leads("b")
    group.network.connect("a", "b")
    with pytest.raises(BegunAnew):
        group.step("b")


def test_the_backup_of_the_survivor_is_turned_away_by_those_who_joined() -> None:
    group = born()
    group.kill("b")
    old = found_copy(group, "a")
    group.kill("c")
    recover(group, "a")
    group.elect("a")
    group.join_anew("b")
    group.settle(rounds=8)
    group.kill("a")
    group.start("a", old)
    with pytest.raises(BegunAnew, match="recovered without this node"):
        group.step("a")


def found_copy(group: Group, name: str) -> Disk:
    """What lay on a node's disk, as a copy would hold it."""
    records = group.seats[name].disk.records
    copy = Disk(incarnation=group.seats[name].disk.incarnation)
    copy.records = replace(records, entries=list(records.entries), boot=records.boot)
    return copy


def test_who_never_comes_back_is_given_up_by_a_wish() -> None:
    group = born()
    for lost in "bc":
        group.kill(lost)
    recover(group, "a")
    group.elect("a")
    assert {seat.name for seat in latest(group, "a").expected} == {*"bc"}

    ask(group, "a", wish(MemberVerb.REMOVE, "c"))
    group.settle()
    assert {seat.name for seat in latest(group, "a").expected} == {"b"}
    group.join_anew("c")
    group.join_anew("b")
    group.settle(rounds=12)
    assert set(group.voters("a")) == {*"ab"}


def test_two_recoveries_of_one_cluster_do_not_mix() -> None:
    group = born()
    group.isolate("a", "b", "c")
    group.kill("c")
    recover(group, "a", connect=False, lineage="one")
    recover(group, "b", connect=False, lineage="other")
    group.elect("a", among="a")
    group.elect("b", among="b")
    group.network.connect("a", "b")
    assert ("a", "b") not in group.network.up
    problem = group.node("a")._registry.problem("b") or group.node("b")._registry.problem("a")
    assert "recovered apart" in (problem or "")


def test_a_second_recovery_raises_the_generation_again() -> None:
    group = born()
    for lost in "bc":
        group.kill(lost)
    recover(group, "a")
    group.elect("a")
    group.compact("a")
    assert recover(group, "a", lineage="third").generation == 1
    group.elect("a")
    assert generation(group, "a") == 2
    assert group.keys("a") == {"kept"}


def test_the_largest_ttl_counts_and_not_the_last_one() -> None:
    group = born("a")
    (granted,) = submit(group, "a", Transact((), (Grant(LeaseId("x"), "a", Seconds(30.0)),)))
    assert isinstance(granted, Committed)
    (shorter,) = submit(group, "a", Refresh(LeaseId("x"), granted.revision, Seconds(2.0)))
    assert isinstance(shorter, Committed)
    assert found(group.kill("a")).largest_ttl == 30.0


def test_the_ttl_of_a_lease_in_the_snapshot_counts() -> None:
    group = born("a")
    submit(group, "a", Transact((), (Grant(LeaseId("x"), "a", Seconds(30.0)),)))
    group.compact("a")
    assert found(group.kill("a")).largest_ttl == 30.0


def test_whoever_had_a_seat_or_was_to_get_one_is_awaited_by_name_alone() -> None:
    seats = (Seat("a", "A", "1"), Seat("b", "B", "2", witness=True), Seat("c"))
    voters = Configuration(lineage="x", seats=seats, expected=(Seat("d", "D", "4"),))
    entry = LogEntry(configuration.encode(voters), 2, 1)
    left = remains.read(
        Persisted(incarnation="1", boot=1, term=3, entries=(LogEntry(b"\x01", 1, 0), entry))
    )
    beginning = remains.begin(left, Seat("a", "A", "9"), "y", None)

    assert left.has_seat
    assert not replace(left, incarnation="0").has_seat
    assert beginning.voters == Configuration(
        lineage="y",
        generation=1,
        seats=(Seat("a", "A", "9"),),
        expected=(Seat("b", "B", "", witness=True), Seat("d", "D")),
    )
    assert not beginning.voters.expects("b", "")
    assert (beginning.term, beginning.entries[-1].index) == (4, 3)


def test_a_node_that_knows_no_voters_has_nothing_to_recover() -> None:
    first = (LogEntry(b"\x01", 1, 0),)
    with pytest.raises(NotRecoverable, match="never was part"):
        remains.read(Persisted(incarnation="1", boot=1, entries=first))


def test_an_amendment_is_carried_out_or_nothing_begins() -> None:
    left = found(born("a").kill("a"))
    own = Seat("a", "a", "new")
    put = Put(Key("kept"), b"amended")
    at = left.machine.entries[Key("kept")].mod_revision
    stale = Transact((KeyAt(Key("kept"), Revision(at - 1)),), (put,))
    with pytest.raises(NotRecoverable, match="cannot be written"):
        remains.begin(left, own, "new", stale)
    assert remains.begin(left, own, "new", Transact((KeyAt(Key("kept"), at),), (put,)))
    assert left.machine.entries[Key("kept")].value == b"x"
