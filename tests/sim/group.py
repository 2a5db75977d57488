"""A group of voters driven by hand: each message is delivered when the scenario says so.

Every voter has a clock of its own that stands still unless told to move, so nothing happens by time
alone: an election is called with `campaign`, a heartbeat with `beat`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import permutations
from random import Random
from typing import Final

from msgspec import Struct

from raftha.consensus import wire
from raftha.consensus.node import RaftNode
from raftha.instants import Seconds
from raftha.model.settings import RaftTimings
from raftha.model.store import Key, KeyAbsent, Outcome, Put, Transact
from tests.sim.fakes import Disk, FakeClock, FakeStore, Network, TrueTime
from tests.sim.voters import make_voter

PATIENT: Final = RaftTimings(
    election_min=Seconds(1e6),
    election_max=Seconds(2e6),
    append_period=Seconds(1e3),
    fallback=Seconds(1e6),
)


class Seat(Struct):
    """One voter: what outlives its process, and the process."""

    time: TrueTime
    disk: Disk
    store: FakeStore
    node: RaftNode


class Group:
    """Voters named by single letters, all connected."""

    def __init__(self, names: str = "abc", timings: RaftTimings = PATIENT) -> None:
        self.network = Network()
        self.names = names
        self.timings = timings
        self.seats: dict[str, Seat] = {}
        self._starts: Counter[str] = Counter()
        for name in names:
            self.start(name, Disk(incarnation=f"life of {name}"))

    def start(
        self,
        name: str,
        disk: Disk,
        *,
        connect: bool = True,
        file: str | None = None,
        called: str | None = None,
    ) -> RaftNode:
        """Bring a node up from its disk; `file` are the voters that its own file names, `called`
        its name where that is not its address."""
        time = TrueTime()
        store = FakeStore(disk)
        self._starts[name] += 1
        node = make_voter(
            name,
            members=file or self.names,
            called=called,
            store=store,
            network=self.network,
            timings=self.timings,
            clock=FakeClock(time),
            random=Random(f"{name}{self._starts[name]}"),
        )
        self.seats[name] = Seat(time, disk, store, node)
        for peer in self.names:
            if connect and peer != name:
                self.network.connect(name, peer)
        return node

    def join_anew(
        self, name: str, incarnation: str = "new life", *, called: str | None = None
    ) -> RaftNode:
        """A node starts on an empty directory, whoever it was before."""
        if name in self.seats:
            self.kill(name)
        if name not in self.names:
            self.names += name
        return self.start(name, Disk(incarnation=f"{incarnation} of {name}"), called=called)

    def voters(self, name: str) -> dict[str, str]:
        """The voters in force on a node: address and incarnation."""
        return {seat.address: seat.incarnation for seat in self.node(name)._core.membership.seats}

    def kill(self, name: str) -> Disk:
        """End a process; unsynced writes go with it. The disk is handed back."""
        seat = self.seats.pop(name)
        self.network.remove(name)
        seat.store.lose_power()
        return seat.disk

    def node(self, name: str) -> RaftNode:
        return self.seats[name].node

    def step(self, names: Iterable[str], count: int = 1) -> None:
        """Let voters act on what has been delivered to them, and on what a test did to them."""
        for _ in range(count):
            for name in names:
                self.node(name)._due = float("-inf")
                self.node(name).step(Seconds(0.0))

    def pass_time(self, name: str, seconds: float) -> None:
        self.seats[name].time.now += seconds

    def campaign(self, name: str) -> None:
        """Make a voter stand for election at once, with nobody loyal to an earlier leader."""
        for seat in self.seats.values():
            seat.node._core.elections.leader_heard = float("-inf")
        core = self.node(name)._core
        core.elections.has_support = True
        core.engine.election_due = 0.0
        self.step(name)

    def beat(self, name: str) -> None:
        """Make the raft leader send to everybody."""
        node = self.node(name)
        node._core.engine.send_entries()
        self.step(name)

    def deliver(self, source: str, target: str, count: int = 10**9) -> None:
        """Hand frames over, and let the receiver act on them."""
        self.network.deliver(source, target, count)
        if target in self.seats:
            self.step(target)

    def settle(self, among: str | None = None, rounds: int = 4) -> None:
        """Exchange messages within a subset until nothing is left to say."""
        names = [name for name in (among or self.names) if name in self.seats]
        for _ in range(rounds):
            for name in names:
                if self.node(name)._core.engine.is_leading:
                    self.beat(name)
            for source, target in permutations(names, 2):
                self.deliver(source, target)

    def elect(self, name: str, among: str | None = None) -> None:
        """Make a voter the raft leader of those named."""
        self.campaign(name)
        self.settle(among)

    def isolate(self, *group: str) -> None:
        """Cut these voters off from all others."""
        for inside in group:
            for outside in self.names:
                if outside not in group:
                    self.network.disconnect(inside, outside)

    def join(self, left: str, right: str) -> None:
        """Bring a link back; both sides notice."""
        self.network.connect(left, right)
        self.step((left, right))

    def create(self, name: str, key: str, value: bytes = b"x") -> list[Outcome]:
        """Ask one voter to create a key; the list gets the outcome."""
        outcomes: list[Outcome] = []
        command = Transact((KeyAbsent(Key(key)),), (Put(Key(key), value),))
        self.node(name).store.submit(command, timeout=Seconds(1e5), done=outcomes.append)
        self.step(name)
        return outcomes

    def compact(self, name: str) -> None:
        """Replace a voter's log by a snapshot; a long one takes further rounds."""
        self.node(name)._core.compact()
        self.step(name)

    def log(self, name: str) -> list[tuple[int, int]]:
        """(index, term) of each entry."""
        return [(index, term) for _, index, term in self.node(name)._core._journal[:]]

    def flying(self, source: str, target: str) -> list[wire.Message]:
        """Messages under way, not taken from there."""
        return [wire.decode(frame) for frame in self.network.flying[source, target]]

    def inject(self, source: str, target: str, message: wire.Message) -> None:
        """Put a message on the wire."""
        self.network.flying[source, target].append(wire.encode(message))

    def leads(self, name: str) -> bool:
        return self.node(name)._core.engine.is_leading

    def term(self, name: str) -> int:
        return self.node(name)._core.engine.term

    def keys(self, name: str) -> set[str]:
        return set(self.node(name).store.peek().entries)
