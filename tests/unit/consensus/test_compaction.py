"""A snapshot is made and written a part in each round, and counts once it is whole."""

from __future__ import annotations

from raftha.consensus import state, wire
from raftha.consensus.compaction import (
    COMPACT_ENTRIES,
    COMPACT_MIN_ENTRIES,
    COMPACT_SECONDS,
)
from raftha.consensus.stable import Origin
from raftha.consensus.state import unseal
from raftha.instants import Seconds
from raftha.model.store import Key, KeyAbsent, KeyAt, Put, Transact
from tests.sim.group import Group

PART_BYTES = 60
LONGEST_PIECE = 300
KEY = Key("k")


def with_state(keys: int = 12) -> Group:
    """A leads; its state fills several parts of a snapshot."""
    group = Group()
    for name in "abc":
        group.node(name)._core.engine.feed.chunk_bytes = PART_BYTES
    group.elect("a")
    for number in range(keys):
        group.create("a", f"k{number}", b"v" * 20)
    group.settle()
    return group


def first_index(group: Group, name: str) -> int:
    return group.log(name)[0][0]


def rounds_of_a_compaction() -> int:
    group = with_state()
    before = first_index(group, "a")
    group.node("a")._core.compact()
    rounds = 0
    while first_index(group, "a") == before:
        group.step("a")
        rounds += 1
    return rounds


def test_a_round_makes_one_part() -> None:
    group = with_state()
    group.node("a")._core.compact()
    for rounds in range(1, 6):
        group.step("a")
        parts = group.seats["a"].disk.read().staged[Origin.OWN]
        assert len(parts) == rounds + 1
        assert max(map(len, parts)) < LONGEST_PIECE + PART_BYTES


def test_a_log_that_has_become_long_is_compacted_and_one_that_is_short_is_not() -> None:
    group = Group("a")
    group.elect("a")
    for batch in range(6):
        lengths = [len(group.log("a"))]
        for number in range(1000):
            command = Transact((KeyAbsent(KEY),), (Put(KEY, b"%d %d" % (batch, number)),))
            group.node("a").store.submit(command, timeout=Seconds(1e5), done=lambda _: None)
        group.step("a", 4)
        lengths.append(len(group.log("a")))
        if lengths[0] + 1000 < COMPACT_ENTRIES:
            assert lengths[1] >= lengths[0] + 1000

    assert len(group.log("a")) < 2000


def test_a_short_log_is_compacted_after_a_while() -> None:
    group = with_state(keys=COMPACT_MIN_ENTRIES)
    before = first_index(group, "a")
    group.pass_time("a", COMPACT_SECONDS / 2)
    group.step("a", 2)
    assert first_index(group, "a") == before

    group.pass_time("a", COMPACT_SECONDS / 2 + 1)
    group.step("a", 400)

    assert first_index(group, "a") > before


def test_a_snapshot_shows_the_state_at_its_index_whatever_is_written_meanwhile() -> None:
    group = with_state()
    at_begin = state.dump(group.node("a")._replica.machine)
    applied = group.node("a")._core.engine.applied_index

    group.node("a")._core.compact()
    last = max(group.node("a").store.peek().entries.values(), key=lambda entry: entry.key)
    command = Transact((KeyAt(last.key, last.mod_revision),), (Put(last.key, b"changed"),))
    group.node("a").store.submit(command, timeout=Seconds(1e5), done=lambda _: None)
    group.create("a", "meanwhile")
    group.settle()
    group.step("a", rounds_of_a_compaction())

    records = group.seats["a"].disk.read()
    assert records.snapshot is not None
    image = unseal(records.snapshot)
    assert image.head.last.index == applied
    assert image.state == at_begin
    assert records.entries[0].index == applied - 1
    group.start("a", group.kill("a"))
    group.elect("b")
    group.settle()
    assert {"k0", "meanwhile"} <= group.keys("a")
    assert group.node("a").store.peek().entries[last.key].value == b"changed"


def test_a_power_cut_in_any_round_of_a_compaction_loses_nothing() -> None:
    for rounds in range(rounds_of_a_compaction() + 1):
        group = with_state()
        complete = state.dump(group.node("a")._replica.machine)
        group.node("a")._core.compact()
        group.step("a", rounds)

        group.start("a", group.kill("a"))
        group.elect("b")
        group.settle()

        assert state.dump(group.node("a")._replica.machine) == complete, rounds


def test_a_snapshot_that_is_received_ends_the_one_in_the_making() -> None:
    """It is newer; the older one would put the log back."""
    group = with_state()
    group.isolate("b")
    group.node("b")._core.compact()
    for number in range(4):
        group.create("a", f"later{number}")
    group.settle("ac")
    group.node("a")._core.compact()
    group.step("a", rounds_of_a_compaction() + 4)
    group.join("a", "b")
    group.settle("ab", rounds=40)
    assert group.keys("b") == group.keys("a")
    newest = first_index(group, "b")

    group.step("b", 2 * rounds_of_a_compaction())

    assert first_index(group, "b") == newest
    records = group.seats["b"].disk.read()
    assert records.snapshot is not None
    assert unseal(records.snapshot).head.last.index == newest + 1


def test_parts_are_on_the_disk_as_they_arrive() -> None:
    """So that the last one finds next to nothing left to write."""
    group = with_state()
    group.inject("a", "b", wire.Chunk(group.term("a"), b"first, ", True, False))
    group.inject("a", "b", wire.Chunk(group.term("a"), b"second", False, False))
    group.deliver("a", "b")

    assert group.seats["b"].disk.read().staged == {Origin.RECEIVED: [b"first, ", b"second"]}
    assert "k0" in group.keys("b")
