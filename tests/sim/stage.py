"""The stage of a simulated world: hosts, their clocks, disks and network, and the rounds of their
nodes. What plays on it, clients, faults and checkers, is in `world.py`.

Time jumps from event to event. A node's round takes the time of its syncs: until then it hears
nothing, and what it sent leaves only then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from random import Random
from typing import Final

from raftha.consensus.configuration import Configuration, Seat
from raftha.consensus.node import RaftNode
from raftha.errors import StorageFailed
from raftha.instants import RHO, Seconds
from raftha.model.settings import RaftTimings
from tests.sim.checkers import Verdicts
from tests.sim.clocks import FakeClock, TrueTime
from tests.sim.disk import Disk, FakeStore, Records
from tests.sim.fakes import BegunAnew, Fatal
from tests.sim.host import Host
from tests.sim.schedule import Schedule
from tests.sim.traits import NAMES, Traits
from tests.sim.voters import make_voter
from tests.sim.wires import DEAD_AFTER, Wires

SPARES_ONE: Final = 3
"""Fewer voters have no majority without one of them."""
SPIN_S: Final = 0.001
"""A round that has nothing to do now does not come again sooner."""


class Stage:
    """Hosts and what befalls them. A world overrides what it wants to hear of."""

    def __init__(self, random: Random, traits: Traits) -> None:
        self.random = random
        self.traits = traits
        self.timings: dict[str, RaftTimings] = {}  # of hosts with others than their traits say
        self.time = TrueTime()
        self.schedule = Schedule(self.time)
        self.verdicts = Verdicts(self.time)
        founders = tuple(NAMES[: traits.size])
        witnesses = founders[traits.size - traits.witnesses :]
        self.hosts = {
            name: self._host(name, name, founders, is_witness=name in witnesses)
            for name in founders
        }
        self.wires = Wires(
            self.schedule,
            Random(random.getrandbits(64)),
            traits.weather,
            present=lambda name: self.hosts[name].time.now,
            busy_until=lambda name: self.hosts[name].busy_until - self.traits.round_s,
            wake=self._wake,
            spy=lambda *frame: self.frame_sent(*frame),
        )
        self.fail_stops = 0
        self.rounds = 0

    # What a world hears of.

    def process_started(self, host: Host, node: RaftNode) -> None:
        """A node was built and will have its first round."""

    def process_ended(self, host: Host) -> None:
        """A process is gone."""

    def round_ended(self, host: Host, node: RaftNode) -> None:
        """A node has had a round."""

    def frame_sent(self, source: str, target: str, frame: bytes) -> None:
        """A frame was put on the wire."""

    # What befalls hosts.

    def leads(self, host: Host) -> bool:
        """Whether this host believes to be the raft leader."""
        return host.node is not None and host.node._core.engine.is_leading

    @property
    def members(self) -> list[Host]:
        """The machines that have a vote, as far as the operator knows."""
        return [host for host in self.hosts.values() if host.is_member]

    def bring_up(self, called: str | None, *, is_witness: bool) -> Host | None:
        """A new machine, with an empty disk and a file that names the members; None if there is no
        address left. It is called by its address if by nothing else."""
        if len(self.hosts) == len(NAMES):
            return None
        name = NAMES[len(self.hosts)]
        file = (*(host.name for host in self.members), name)
        host = self._host(name, called or name, file, is_witness=is_witness)
        host.is_member = False
        self.hosts[name] = host
        self.start(host)
        return host

    def switch_off(self, host: Host) -> None:
        """A machine has no power for good, or until it is switched on again."""
        host.is_off = True
        host.deadline = None
        self.end(host, restart_after=0.0, power=True)

    def switch_on(self, host: Host) -> None:
        """It has power again."""
        host.is_off = False
        self.start(host)

    def end(self, host: Host, *, restart_after: float, power: bool) -> None:
        """The process is gone; with its power also the guardian, and what a sync had not ended."""
        if host.node is None:
            return
        now = self.time.now
        self.verdicts.note(f"{host.name} ends")
        self._wake_up(host)
        self.wires.end(host.name)
        assert host.store is not None
        host.store.lose_power()
        host.disk.cut_power(now, self.random)
        host.node = host.store = host.next_round = None
        host.frozen = False
        host.postponed.clear()
        host.life += 1
        host.busy_until = 0.0
        self.process_ended(host)
        if power:
            host.deadline = None
        self.schedule.after(restart_after, partial(self.start, host))

    def spoil(self, host: Host, spoil: Callable[[Disk], None]) -> None:
        """Something happens to what a host's disk holds. One at a time: the next strikes only when
        the voter that the last one cost has its seat again, or a majority could lose its memory."""
        if self.may_lose_one():
            self.end(host, restart_after=0.1, power=True)
            spoil(host.disk)

    def put_back(self, host: Host, copy: Records) -> bool:
        """An older copy of a host's disk takes its place, at a calm moment: everybody is in touch,
        and the raft leader knows of a promise that the copy lacks. Who never heard of it could not
        notice, so nothing else may strike until it has. Returns whether it happened."""
        last = copy.entries[-1].index if copy.entries else 0
        for leader in self.hosts.values():
            if leader is host or leader.node is None or not self.leads(leader):
                continue
            mark = leader.node._core._marks.known.get(host.name)
            is_known = mark is not None and (mark.term, mark.index) > (copy.term, last)
            if is_known and self._is_calm() and self.may_lose_one():
                self.end(host, restart_after=0.1, power=True)
                host.disk.records = copy
                host.put_back = True
                return True
        return False

    def _is_calm(self) -> bool:
        names = [host.name for host in self.members]
        linked = all(link in self.wires.up for link in permutations(names, 2))
        return linked and all(host.runs for host in self.members) and self.wires.is_clear

    def all_are_seated(self) -> bool:
        """Whether a raft leader has committed a seat for the directory of every member, and for
        nobody else."""
        return any(
            len(seated.seats) == len(self.members)
            and all(seated.binds(host.name, host.disk.incarnation) for host in self.members)
            for seated in self._settled()
        )

    def may_lose_one(self) -> bool:
        """Whether one voter may forget everything: those that a raft leader has committed are three
        at least, have power and the directories that have the seats, hold a set of voters and will
        be read again, and none of them is an older copy that nobody has told so yet. With one that
        has heard of no set, a voter that forgot everything may found a cluster anew (a stated
        limit)."""
        return any(
            len(seated.seats) >= SPARES_ONE
            and all(self._is_whole(seat) for seat in seated.seats)
            and all(seated.at(host.name) for host in self.members)
            for seated in self._settled()
        )

    def _is_whole(self, seat: Seat) -> bool:
        host = self.hosts[seat.address]
        is_own = host.disk.incarnation == seat.incarnation and not host.disk.is_void
        return is_own and not host.put_back and host.disk.records.names_voters and not host.is_off

    def _settled(self) -> Iterator[Configuration]:
        """The voters that the newest raft leader has committed, if it wants no others."""
        cores = [host.node._core for host in self.hosts.values() if host.node is not None]
        newest = max((core.engine.term for core in cores), default=0)
        for core in cores:
            settled, latest = core.council.present.settled, core.council.present.latest
            is_newest = core.engine.is_leading and core.engine.term == newest
            if is_newest and settled is not None and settled is latest:
                yield settled

    def freeze(self, host: Host, *, suspended: bool = False) -> None:
        """The process stops running; if the whole host is suspended, so does its raw clock."""
        if not host.runs:
            return
        host.frozen = True
        self.wires.silence(host.name)
        if suspended:
            host.suspended = True
            self._set_rates(host)

    def thaw(self, host: Host) -> None:
        """It runs again."""
        self._wake_up(host)
        if not host.frozen:
            return
        host.frozen = False
        self.wires.resume(host.name)
        postponed, host.postponed = host.postponed, []
        for action in postponed:
            self.schedule.after(0.0, action)
        self._wake(host.name)

    def compact(self, host: Host) -> None:
        """Replace the log by a snapshot now."""
        node = host.node
        if node is not None and host.runs and host.busy_until <= self.time.now:
            self._act(host, node._core.compact)
            host.busy_until = max(host.busy_until, host.time.now)

    def slew(self, host: Host, slew: float) -> None:
        """Slew CLOCK_BOOTTIME by this share of a second in each second; it stays within 10 %."""
        host.slew = slew
        self._set_rates(host)

    def _host(self, name: str, called: str, file: tuple[str, ...], *, is_witness: bool) -> Host:
        drift = 1 + self.random.choice((-0.999, 0.0, 0.999)) * RHO
        time = TrueTime(self.time.now)
        clock = FakeClock(time, drift, drift, offset=self.random.uniform(0, 1e6))
        disk = Disk(f"life of {name}", time)
        disk.latency = self.traits.disk_latency
        return Host(name, called, is_witness, file, time, clock, disk, drift=drift)

    def start(self, host: Host) -> None:
        """Begin a process, now or as soon as its disk lets it."""
        if host.node is not None or host.is_off:
            return
        host.time.now = self.time.now
        host.store = FakeStore(host.disk)
        try:
            node = make_voter(
                host.name,
                called=host.called,
                members=host.file,
                store=host.store,
                network=self.wires,
                timings=self.timings.get(host.name, self.traits.timings),
                clock=host.clock,
                random=Random(self.random.getrandbits(64)),
                witness=host.is_witness,
            )
        except StorageFailed as error:
            self.verdicts.note(f"{host.name} does not start: {error}")
            self.schedule.after(0.5, partial(self.start, host))
            return
        self.verdicts.note(f"{host.name} starts")
        host.node = node
        host.busy_until = host.time.now
        node._core.engine.feed.chunk_bytes = self.traits.chunk_bytes
        engine_settings = node._core.engine._SyncObj__conf
        engine_settings.appendEntriesBatchSizeBytes = self.traits.batch_bytes
        self.process_started(host, node)
        self.wires.start(host.name)
        self._wake(host.name)

    def later(self, host: Host, action: Callable[[], None]) -> None:
        """An answer of this round reaches its client when the round has ended."""
        life = host.life

        def happen() -> None:
            if host.life != life:
                return
            if host.frozen:
                host.postponed.append(happen)
                return
            host.time.now = self.time.now
            action()

        self.schedule.at(host.time.now, happen)

    def _wake(self, name: str) -> None:
        """Something waits for this host: its next round begins as soon as it can."""
        host = self.hosts[name]
        when = max(self.time.now, host.busy_until)
        if host.next_round is None or when < host.next_round:
            self._plan_round(host, when)

    def _plan_round(self, host: Host, when: float) -> None:
        host.next_round = when
        self.schedule.at(when, partial(self._round, host, when))

    def _round(self, host: Host, due: float) -> None:
        if host.next_round != due:
            return
        host.next_round = None
        node = host.node
        if node is None or host.frozen:
            return
        if host.busy_until > self.time.now:
            self._plan_round(host, host.busy_until)
            return
        self.rounds += 1
        host.time.now = self.time.now
        if not self._act(host, lambda: node.step(Seconds(0.0))):
            return
        self.round_ended(host, node)
        host.busy_until = host.time.now + self.traits.round_s
        if host.busy_until - self.time.now > DEAD_AFTER:
            self._stall(host)
        # What was heard while the round ran waits for its end; else something is due by the clock.
        idle = _idle(node) if host.next_round is None else 0.0
        self._plan_round(host, max(host.busy_until, host.time.now + idle))

    def _stall(self, host: Host) -> None:
        """A round takes so long that the others hear nothing."""
        self.verdicts.note(f"{host.name} is stuck in a sync")
        self.wires.silence(host.name)
        life = host.life

        def end() -> None:
            if host.life == life and not host.frozen:
                self.wires.resume(host.name)

        self.schedule.at(host.busy_until, end)

    def _act(self, host: Host, action: Callable[[], None]) -> bool:
        """Let a node act; a failing disk or a tripwire ends its process. False if it ended."""
        host.time.now = self.time.now
        host.disk.settle(self.time.now)
        try:
            action()
        except BegunAnew as error:
            self.verdicts.note(f"{host.name} begins anew: {error}")
            if "older copy" in str(error) and not host.put_back:
                self.verdicts.violate(f"R10: {host.name} is innocent, and was told: {error}")
            host.put_back = False
            self.end(host, restart_after=0.1, power=False)
            return False
        except (Fatal, StorageFailed) as error:
            self.verdicts.note(f"{host.name} stops: {error}")
            if isinstance(error, Fatal):
                self.verdicts.violate(f"tripwire on {host.name}: {error}")
            self.fail_stops += 1
            self.end(host, restart_after=0.5, power=False)
            return False
        return True

    def _at_rest(self, host: Host, action: Callable[[], None]) -> None:
        """Do something to a host's clock when its present round has ended."""

        def act() -> None:
            host.time.now = max(host.time.now, self.time.now)
            action()

        self.schedule.at(host.busy_until, act)

    def _wake_up(self, host: Host) -> None:
        """If it was suspended, it is no more."""
        if host.suspended:
            host.suspended = False
            self._set_rates(host)

    def _set_rates(self, host: Host) -> None:
        def act() -> None:
            boot = host.drift + host.slew
            host.clock.run_at(boot, host.drift, sleeps=host.suspended)

        self._at_rest(host, act)


def _idle(node: RaftNode) -> float:
    """Seconds until a node has something to do by its clock."""
    return max(SPIN_S, node.wait + SPIN_S / 10)
