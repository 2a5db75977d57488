"""What the core believes of a message, beyond the hazards of the library, and what ends it."""

from __future__ import annotations

import pytest

from raftha.consensus import wire
from raftha.consensus.commands import WireError
from raftha.consensus.journal import Journal
from raftha.consensus.snapshots import Assembly
from raftha.consensus.stable import Persisted
from raftha.consensus.state import Head, Image, LogEntry, seal, unseal
from tests.sim.fakes import Disk, FakeStore, Fatal, fatal
from tests.sim.group import Group


def led_by_a() -> Group:
    group = Group()
    group.elect("a")
    group.create("a", "k")
    group.settle()
    return group


def image(last: int, term: int) -> Image:
    previous = LogEntry(b"\x01", last - 1, term)
    return Image(Head(previous, LogEntry(b"\x01", last, term), b""), b"state")


def journal(*entries: LogEntry) -> Journal:
    store = FakeStore(Disk(incarnation="i"))
    store.load()
    made = Journal(store, lambda _: None, fatal)
    made.open(Persisted(incarnation="i", boot=1, entries=entries))
    return made


def test_one_entry_with_two_contents_ends_the_process() -> None:
    """The raft leader that wrote (index, term) wrote it once: a difference is damage, or worse."""
    group = led_by_a()
    (before, last) = group.node("b")._core._journal[-2:]
    other = wire.LogEntry(last[0] + b"!", last[1], last[2])

    group.inject("a", "b", wire.Append(group.term("a"), last[1], before[1], before[2], [other]))

    with pytest.raises(Fatal, match="exists with two contents"):
        group.deliver("a", "b")


def test_a_follower_ahead_of_its_leader_ends_the_process() -> None:
    group = led_by_a()
    beyond = group.log("a")[-1][0] + 2

    group.inject("b", "a", wire.Progress(group.term("a"), beyond, False, True))

    with pytest.raises(Fatal, match="holds entries that its raft leader, this node, does not"):
        group.deliver("b", "a")


def test_an_append_with_a_gap_is_refused() -> None:
    """The link is cut, and nothing of the message counts."""
    group = led_by_a()
    index, term = group.log("b")[-1]
    entries = [wire.LogEntry(b"\x01", index + 1, term), wire.LogEntry(b"\x01", index + 3, term)]

    group.inject("a", "b", wire.Append(term, index, index, term, entries))
    group.deliver("a", "b")

    assert group.log("b")[-1] == (index, term)
    assert [peer for peer, _ in group.node("b")._links.dropped] == ["a"]


def test_a_tail_that_does_not_follow_a_snapshot_goes() -> None:
    """The log holds an entry at the snapshot's index, but of another term: what follows it belongs
    to another history."""
    entries = [LogEntry(b"\x01", index, 1) for index in (1, 2, 3, 4, 5)]

    assert [entry.index for entry in journal(*entries).install(image(3, 1))] == [2, 3, 4, 5]
    assert [entry.index for entry in journal(*entries).install(image(3, 2))] == [2, 3]


def test_parts_of_two_snapshots_are_not_put_together() -> None:
    written: list[bytes] = []
    assembly = Assembly(lambda part, _: written.append(part))
    first = wire.Chunk(1, b"of the first, ", True, False)
    last = wire.Chunk(2, b"of the second", False, True)

    assembly.add(("a", 1), first)

    assert assembly.add(("a", 2), last) is None
    assert assembly.add(("b", 1), last) is None
    assert assembly.add(("a", 1), last) == b"of the first, of the second"
    assert written == [b"of the first, ", b"of the second"]


def test_a_damaged_snapshot_is_refused_whole() -> None:
    sealed = seal(image(3, 1))
    assert unseal(sealed) == image(3, 1)

    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 1
        with pytest.raises(WireError):
            unseal(bytes(damaged))


def asked_for_support(group: Group, name: str) -> int:
    """Let a voter lose patience; the round in which it asks the others."""
    for seconds in (3e6, 4e5, 4e5):  # the first is a pause, after which it reads for a while
        group.pass_time(name, seconds)
        group.step(name)
    asked = [message for message in group.flying(name, "b") if isinstance(message, wire.Canvass)]
    return asked[-1].round


def test_half_of_the_voters_are_no_majority() -> None:
    """With four voters two may be on each side of a cut."""
    group = Group("abcd")
    number = asked_for_support(group, "a")

    group.node("a")._core.receive("b", wire.Support(0, number, True))
    group.step("a")
    assert group.term("a") == 0

    group.node("a")._core.receive("c", wire.Support(0, number, True))
    group.step("a")
    assert group.term("a") == 1


def test_an_election_begins_with_the_support_of_a_majority() -> None:
    """Of five, in this very round; a voter that supports twice is one supporter."""
    group = Group("abcde")
    number = asked_for_support(group, "a")
    core = group.node("a")._core

    for given, peer in ((number, "b"), (number, "b"), (number + 1, "c")):
        core.receive(peer, wire.Support(0, given, True))
    core.receive("d", wire.Support(0, number, False))
    group.step("a")
    assert group.term("a") == 0

    core.receive("c", wire.Support(0, number, True))
    group.step("a")
    assert group.term("a") == 1


def test_support_is_given_only_without_a_leader_and_to_the_up_to_date() -> None:
    group = led_by_a()
    index, term = group.log("b")[-1]
    core = group.node("b")._core

    def answer(last_index: int) -> bool:
        core.receive("c", wire.Canvass(term, 7, last_index, term, "life of b"))
        answers = [message for _, message in core.flush() if isinstance(message, wire.Support)]
        return answers[-1].granted

    assert not answer(index)

    group.pass_time("b", 2e6)
    assert answer(index)
    assert not answer(index - 1)


def test_a_cut_off_follower_says_soon_that_it_has_no_majority() -> None:
    group = led_by_a()
    group.isolate("b")
    assert group.node("b")._core.has_majority

    group.pass_time("b", float(group.timings.fallback) + 1)

    assert not group.node("b")._core.has_majority


def test_each_part_of_a_snapshot_is_answered_so_that_its_leader_stays_one() -> None:
    """The only follower in touch gets a long snapshot: without answers the raft leader would
    believe itself alone, step down, and send it from the beginning."""
    group = Group("abc")
    group.elect("a")
    group.settle()
    group.isolate("c")
    group.pass_time("a", group.timings.fallback * 1.5)
    group.inject("a", "b", wire.Chunk(group.term("a"), b"the first part", True, False))
    group.deliver("a", "b")

    answers = [m for m in group.flying("b", "a") if isinstance(m, wire.Progress)]
    assert [(m.success, m.reset) for m in answers] == [(False, False)]
    group.network.deliver("b", "a")
    group.step("a")
    assert group.leads("a")
    assert group.node("a").store.status().majority
