"""What the fakes of the consensus world promise: time, disks and links behave as real ones may."""

from __future__ import annotations

from random import Random

import pytest

from raftha.consensus.links import Down, Received, Up
from raftha.consensus.members import Identity, Registry
from raftha.consensus.state import LogEntry
from raftha.instants import Seconds, longest, shortest
from tests.sim.clocks import FakeClock, TrueTime
from tests.sim.cluster.fibers import Fibers, Life
from tests.sim.cluster.guardian import DeadMan
from tests.sim.disk import Disk, FakeStore
from tests.sim.network import FakeLinks
from tests.sim.schedule import Schedule
from tests.sim.wires import DEAD_AFTER, Weather, Wires


def test_a_suspended_hosts_raw_clock_stands_still_and_its_boot_clock_does_not() -> None:
    time = TrueTime()
    clock = FakeClock(time, offset=50.0)
    before = clock.now()
    clock.run_at(0.9, 1.0, sleeps=True)
    time.now += 4.0
    woken = clock.now()
    clock.run_at(1.1, 1.0)
    time.now += 1.0

    assert (woken.boot - before.boot, woken.raw - before.raw, woken.slept) == (4.0, 0.0, 4.0)
    assert longest(before, clock.now()) == pytest.approx(5.1)
    assert shortest(before, clock.now()) == pytest.approx(1.0)


def test_events_come_in_the_order_of_their_time_and_then_of_their_making() -> None:
    schedule = Schedule(TrueTime())
    seen: list[str] = []
    schedule.after(2.0, lambda: seen.append("late"))
    schedule.after(1.0, lambda: seen.append("first"))
    schedule.after(1.0, lambda: schedule.after(0.0, lambda: seen.append("made on the way")))
    schedule.after(1.0, lambda: seen.append("second"))

    schedule.run_until(1001.5)

    assert seen == ["first", "second", "made on the way"]
    assert schedule.time.now == 1001.5


def stored(disk: Disk) -> list[int]:
    return [entry.index for entry in disk.read().entries]


def test_a_power_cut_within_a_sync_keeps_all_of_it_or_nothing() -> None:
    outcomes = set()
    for seed in range(20):
        disk = Disk("x")
        store = FakeStore(disk)
        store.load()
        store.append(LogEntry(b"a", 1, 1))
        store.sync()
        disk.latency = 2.0
        began = disk.time.now
        store.append(LogEntry(b"b", 2, 1))
        store.save_ballot(7, "n1")
        store.sync()
        store.lose_power()
        disk.cut_power(began + 1.0, Random(seed))
        outcomes.add((tuple(stored(disk)), disk.read().term))
    assert outcomes == {((1,), 0), ((1, 2), 7)}


def test_what_a_sync_that_ended_wrote_survives_the_power_cut() -> None:
    disk = Disk("x")
    store = FakeStore(disk)
    store.load()
    disk.latency = 2.0
    store.append(LogEntry(b"a", 1, 1))
    store.sync()
    store.append(LogEntry(b"never synced", 2, 1))
    disk.cut_power(disk.time.now, Random(1))
    assert stored(disk) == [1]


def test_a_damaged_directory_is_exchanged_at_the_start() -> None:
    disk = Disk("x")
    FakeStore(disk).load()
    disk.damaged = True
    persisted = FakeStore(disk).load()
    assert "damaged" in (persisted.put_aside or "")
    assert persisted.incarnation != "x"
    assert FakeStore(disk).load().put_aside is None


def registry(name: str) -> Registry:
    """Of one of two nodes that know each other."""
    identity = Identity(
        scope="sim",
        address=name,
        name=name,
        incarnation=f"life of {name}",
        witness=False,
        partners=tuple({"a", "b"} - {name}),
        process=name,
    )
    return Registry(identity, {})


class Wire:
    """Two nodes, a and b, on a network without chance."""

    def __init__(self) -> None:
        self.schedule = Schedule(TrueTime())
        self.ahead = 0.0
        self.busy_until = 0.0
        self.wires = Wires(
            self.schedule,
            Random(1),
            Weather(delay=0.1, jitter=0.0),
            present=lambda _: self.schedule.time.now + self.ahead,
            busy_until=lambda _: self.busy_until,
            wake=lambda _: None,
            spy=lambda *_: None,
        )
        self.links = {name: FakeLinks(self.wires, name, registry(name)) for name in "ab"}
        for name in "ab":
            self.wires.start(name)
        self.pass_time(0.5)
        assert self.hear("a") == [("up", "b")]
        assert self.hear("b") == [("up", "a")]

    def pass_time(self, seconds: float) -> None:
        self.schedule.run_until(self.schedule.time.now + seconds)

    def hear(self, name: str) -> list[object]:
        """What happened; of a new link, with whom."""
        heard = self.links[name].poll(Seconds(0.0))
        return [("up", event.peer) if isinstance(event, Up) else event for event in heard]


def test_frames_take_time_and_arrive_in_order() -> None:
    wire = Wire()
    wire.wires.slow["a", "b"] = 1.0
    wire.links["a"].send("b", b"1")
    wire.wires.slow.clear()
    wire.links["a"].send("b", b"2")

    wire.pass_time(1.0)
    assert wire.hear("b") == []
    wire.pass_time(0.2)
    assert wire.hear("b") == [Received("a", b"1"), Received("a", b"2")]


def test_a_short_stall_of_one_direction_delays_and_loses_nothing() -> None:
    wire = Wire()
    wire.wires.stall([("a", "b")])
    wire.links["a"].send("b", b"held")
    wire.links["b"].send("a", b"the other way")
    wire.pass_time(0.5)
    assert wire.hear("a") == [Received("b", b"the other way")]
    assert wire.hear("b") == []

    wire.wires.release([("a", "b")])
    assert wire.hear("b") == [Received("a", b"held")]


def test_a_long_stall_breaks_the_link_and_its_end_brings_it_back() -> None:
    wire = Wire()
    wire.wires.stall([("a", "b")])
    wire.links["a"].send("b", b"lost")
    wire.pass_time(3 * DEAD_AFTER)
    assert wire.hear("b") == [Down("a")]
    assert wire.hear("a") == [Down("b")]

    wire.wires.release([("a", "b")])
    wire.pass_time(1.0)
    assert (wire.hear("a"), wire.hear("b")) == ([("up", "b")], [("up", "a")])


def test_a_process_that_does_not_run_is_given_up() -> None:
    wire = Wire()
    wire.wires.silence("a")
    wire.pass_time(2.5 * DEAD_AFTER)
    assert wire.hear("b") == [Down("a")]

    wire.wires.resume("a")
    wire.pass_time(0.5)
    assert wire.hear("a") == [Down("b"), ("up", "b")]


def test_nobody_greets_within_a_round_however_it_was_silenced_meanwhile() -> None:
    """It would tell what its disk does not hold yet; the real one tells of a round that ended."""
    wire = Wire()
    wire.busy_until = wire.schedule.time.now + 5.0
    wire.wires.silence("a")
    wire.pass_time(2.5 * DEAD_AFTER)
    assert wire.hear("b") == [Down("a")]
    wire.wires.resume("a")
    wire.pass_time(0.5)
    assert wire.hear("b") == []

    wire.pass_time(5.0)
    assert wire.hear("b") == [("up", "a")]


def test_what_a_dead_process_had_sent_arrives_and_what_it_would_have_sent_does_not() -> None:
    wire = Wire()
    wire.links["a"].send("b", b"left before")
    wire.ahead = 5.0
    wire.links["a"].send("b", b"waits for the disk")
    wire.wires.end("a")

    wire.pass_time(10.0)
    assert wire.hear("b") == [Received("a", b"left before"), Down("a")]


def test_what_a_round_wrote_after_the_end_of_its_process_was_never_written() -> None:
    """The process ended within the first of two syncs: the second never began."""
    outcomes = set()
    for seed in range(20):
        disk = Disk("x")
        store = FakeStore(disk)
        store.load()
        disk.latency = 2.0
        began = disk.time.now
        for index in (1, 2):
            store.append(LogEntry(b"", index, 1))
            store.sync()
        disk.cut_power(began + 1.0, Random(seed))
        outcomes.add(tuple(stored(disk)))
    assert outcomes == {(), (1,)}


def test_a_timer_of_the_kernel_that_is_set_anew_goes_by_the_last_setting() -> None:
    schedule = Schedule(TrueTime(0.0))
    fibers, clock = Fibers(schedule), FakeClock(schedule.time)
    life = Life("guardian", lambda: None)
    ends: list[float] = []
    timer = DeadMan(clock, fibers, life, lambda: ends.append(schedule.time.now))
    for boot in (9.0, 5.0, 7.0):
        timer.set(boot)
    schedule.run_until(6.0)
    timer.set(6.5)
    schedule.run_until(6.6)
    assert ends == [pytest.approx(6.5)]
