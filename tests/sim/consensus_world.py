"""The consensus world: real voters on fake clocks, disks and links, under random faults.

One `Random(seed)` decides everything, so a seed is a whole history. The checkers share no code with
the product's rules:

- S2: a term has one raft leader;
- S3: an index is applied with one content and one state hash on every replica;
- S4: what was acknowledged is in the final state, exactly once, and what was refused is not;
- S5: by true time, no two holders believe in one lease at once.

When the faults end, the group must take a command again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

from raftha.consensus import state
from raftha.consensus.members import Identity, Registry, digest_of
from raftha.consensus.node import RaftNode
from raftha.errors import StorageFailed
from raftha.instants import RHO, Instant, Seconds, longest
from raftha.model.ids import Revision
from raftha.model.settings import RaftTimings
from raftha.model.store import (
    Committed,
    Grant,
    Key,
    KeyAbsent,
    KeyAt,
    LeaseId,
    NotSent,
    Outcome,
    Put,
    RaftRole,
    Refresh,
    Rejected,
    Transact,
)
from tests.sim.fakes import Disk, FakeClock, FakeLinks, FakeStore, Fatal, Network, TrueTime, fatal

LEASE: Final = LeaseId("lease")
LEADER: Final = Key("leader")
TTL: Final = Seconds(3.0)
FAULT_STEPS: Final = 700
CALM_STEPS: Final = 400


@dataclass(slots=True)
class Holder:
    """A client that wants the lease and believes in it as the product's rule allows."""

    attempt: int = 0
    believed_from: Instant | None = None
    believed_revision: Revision = Revision(0)


@dataclass(slots=True)
class Host:
    """One machine: what outlives its process, and the process if it runs."""

    address: str
    clock: FakeClock
    disk: Disk
    store: FakeStore | None = None
    node: RaftNode | None = None
    paused_until: int = 0
    starts_at: int = 0
    holder: Holder = field(default_factory=Holder)


class World:
    """N hosts, a nemesis, clients, and the checkers' memory."""

    def __init__(self, seed: int, size: int = 3) -> None:
        self.random = Random(seed)
        self.time = TrueTime()
        self.network = Network()
        self.violations: list[str] = []
        self.leaders: dict[int, str] = {}
        self.applied: dict[int, bytes] = {}
        self.hashes: dict[int, str] = {}
        self.acked: set[Key] = set()
        self.refused: set[Key] = set()
        self.fail_stops = 0
        self.renewals = 0
        self.takeovers = 0
        self.trace = hashlib.sha256()
        self._written = 0
        self._split_until = 0
        self._step = 0
        names = "abcdefghi"[:size]
        self.hosts = {name: self._host(name) for name in names}

    def run(self) -> list[str]:
        """Faults, then calm; what was violated."""
        for host in self.hosts.values():
            self._start(host)
        for self._step in range(FAULT_STEPS):
            self._advance(self.random.choice((0.01, 0.03, 0.06)), faults=True)
            self._make_trouble()
            self._use_store()
        for self._step in range(FAULT_STEPS, FAULT_STEPS + CALM_STEPS):
            self._heal()
            self._advance(0.03, faults=False)
            if self._step == FAULT_STEPS + CALM_STEPS // 2:
                self._write(self.hosts["a"], Key("final"))
        self._check_end()
        return self.violations

    # Time and messages.

    def _advance(self, seconds: float, *, faults: bool) -> None:
        self.time.now += seconds
        for host in self._awake():
            self._tick(host)
        for source, target in sorted(self.network.up):
            if self.hosts[target].paused_until > self._step:
                continue
            if faults and self.random.random() < 0.3:
                continue
            self.network.deliver(source, target, self.random.choice((1, 2, 9)) if faults else 99)
        self._check_now()

    def _tick(self, host: Host) -> None:
        node = host.node
        if node is None:
            return
        self._guard(host, lambda: node.step(Seconds(0.0)))
        status = node.store.status()
        if status.role is RaftRole.LEADER:
            first = self.leaders.setdefault(status.term, host.address)
            if first != host.address:
                self._violate(f"S2: term {status.term} has leaders {first} and {host.address}")

    def _guard(self, host: Host, action: Callable[[], None]) -> None:
        """Let a node act; a failing disk or a tripwire ends its process."""
        try:
            action()
        except (Fatal, StorageFailed) as error:
            self._note(f"{host.address} stops: {error}")
            if isinstance(error, Fatal):
                self._violate(f"tripwire on {host.address}: {error}")
            self.fail_stops += 1
            self._crash(host)

    def _awake(self) -> Iterator[Host]:
        for host in self.hosts.values():
            if host.node is not None and host.paused_until <= self._step:
                yield host

    # Hosts.

    def _host(self, name: str) -> Host:
        drift = self.random.uniform(-RHO / 2, RHO / 2)
        clock = FakeClock(
            self.time,
            boot_rate=1 + drift + self.random.choice((0.0, 0.05)),
            raw_rate=1 + drift,
            offset=self.random.uniform(0, 1e6),
        )
        return Host(name, clock, Disk(incarnation=f"life of {name}"))

    def _start(self, host: Host) -> None:
        store = FakeStore(host.disk)
        try:
            persisted = store.load()
        except StorageFailed:
            host.starts_at = self._step + 20
            return
        peers = tuple(name for name in self.hosts if name != host.address)
        identity = Identity(
            scope="sim",
            address=host.address,
            name=host.address,
            incarnation=persisted.incarnation,
            witness=False,
            members=digest_of(self.hosts),
        )
        host.store = store
        host.holder = Holder()
        host.node = RaftNode(
            identity=identity,
            peers=peers,
            timings=RaftTimings(),
            persisted=persisted,
            stable=store,
            links=FakeLinks(self.network, host.address),
            registry=Registry(identity, peers, persisted.voters),
            clock=host.clock,
            random=Random(self.random.getrandbits(64)),
            fatal=fatal,
        )
        self._observe(host, host.node)
        for peer in peers:
            self.network.connect(host.address, peer)

    def _observe(self, host: Host, node: RaftNode) -> None:
        """Hear of every entry that this replica applies."""
        replica = node._replica
        apply = replica.apply

        def checked(index: int, payload: bytes) -> None:
            apply(index, payload)
            first = self.applied.setdefault(index, payload)
            if first != payload:
                self._violate(f"S3: index {index} differs on {host.address}")
            digest = state.digest(replica.machine)
            if self.hashes.setdefault(index, digest) != digest:
                self._violate(f"S3: state after index {index} differs on {host.address}")

        replica.apply = checked  # type: ignore[method-assign]

    def _crash(self, host: Host, after: int = 20) -> None:
        if host.node is None:
            return
        self.network.remove(host.address)
        if host.store is not None:
            host.store.lose_power()
        host.node = None
        host.store = None
        host.starts_at = self._step + after

    # Faults.

    def _make_trouble(self) -> None:
        chance = self.random.random
        some = self.random.choice(list(self.hosts.values()))
        if chance() < 0.02:
            self.network.disconnect(*self.random.sample(list(self.hosts), 2))
        if chance() < 0.15 and self._split_until <= self._step:
            self._reconnect()
        if chance() < 0.01:
            self._split()
        if chance() < 0.012:
            self._crash(some, self.random.randint(1, 40))
        if chance() < 0.01:
            some.paused_until = self._step + self.random.randint(10, 60)
        if chance() < 0.03 and some.node is not None:
            self._guard(some, some.node._core.compact)
        if chance() < 0.004:
            some.disk.full = True
        if chance() < 0.03:
            self._empty_disks()
        self._restart_due()

    def _split(self) -> None:
        self._split_until = self._step + self.random.randint(10, 150)
        names = list(self.hosts)
        group = self.random.sample(names, self.random.randint(1, len(names) // 2))
        for inside in group:
            for outside in names:
                if outside not in group:
                    self.network.disconnect(inside, outside)

    def _heal(self) -> None:
        self._empty_disks()
        self._restart_due()
        self._reconnect()

    def _reconnect(self) -> None:
        names = list(self.hosts)
        for left in names:
            for right in names:
                if left < right:
                    self.network.connect(left, right)

    def _empty_disks(self) -> None:
        for host in self.hosts.values():
            host.disk.full = False

    def _restart_due(self) -> None:
        for host in self.hosts.values():
            if host.node is None and host.starts_at <= self._step:
                self._start(host)

    # Clients.

    def _use_store(self) -> None:
        for host in self._awake():
            if self.random.random() < 0.08:
                self._written += 1
                self._write(host, Key(f"key{self._written}"))
            if self.random.random() < 0.3:
                self._strive(host)

    def _write(self, host: Host, key: Key) -> None:
        if host.node is None:
            return

        def done(outcome: Outcome) -> None:
            match outcome:
                case Committed():
                    self.acked.add(key)
                case Rejected() | NotSent():
                    self.refused.add(key)
                case _:
                    return

        command = Transact((KeyAbsent(key),), (Put(key, b"1"),))
        host.node.store.submit(command, timeout=Seconds(3.0), done=done)

    def _strive(self, host: Host) -> None:
        """Renew the lease if held, take it if nobody seems to hold it."""
        assert host.node is not None
        snapshot = host.node.store.peek()
        lease = snapshot.leases.get(LEASE)
        holder = host.holder
        if lease is None:
            taken = snapshot.entries.get(LEADER)
            guard = KeyAbsent(LEADER) if taken is None else KeyAt(LEADER, taken.mod_revision)
            writes = (Grant(LEASE, host.address, TTL), Put(LEADER, host.address.encode(), LEASE))
            command: Transact | Refresh = Transact((guard,), writes)
        elif holder.believed_from is not None and lease.revision == holder.believed_revision:
            command = Refresh(LEASE, lease.revision, TTL)
        else:
            return

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, Committed) and host.holder is holder:
                self.renewals += 1
                self.takeovers += isinstance(command, Transact)
                if outcome.revision > holder.believed_revision:
                    holder.believed_from = outcome.handed_over
                    holder.believed_revision = outcome.revision

        host.node.store.submit(command, timeout=Seconds(1.0), done=done)

    # Checkers.

    def _check_now(self) -> None:
        believers = [host.address for host in self.hosts.values() if self._believes(host)]
        if len(believers) > 1:
            self._violate(f"S5: {believers} hold one lease at {self.time.now:.3f}")

    def _believes(self, host: Host) -> bool:
        since = host.holder.believed_from
        if since is None:
            return False
        return longest(since, host.clock.now()) < TTL * (1 - RHO)

    def _check_end(self) -> None:
        machines = {h.address: h.node._replica.machine for h in self.hosts.values() if h.node}
        if len(machines) < len(self.hosts):
            self._violate("L: not every node runs after the calm")
        if len({state.digest(machine) for machine in machines.values()}) > 1:
            self._violate("S3: final states differ")
        for address, machine in machines.items():
            lost = sorted(self.acked - machine.entries.keys())
            ghosts = sorted(self.refused & machine.entries.keys())
            if lost:
                self._violate(f"S4: {address} misses acknowledged {lost[:3]}")
            if ghosts:
                self._violate(f"S4: {address} holds refused {ghosts[:3]}")
        if Key("final") not in self.acked:
            self._violate("L: no write succeeded after the calm")

    def _violate(self, text: str) -> None:
        self._note(text)
        if text not in self.violations:
            self.violations.append(text)

    def _note(self, text: str) -> None:
        self.trace.update(f"{self._step} {text}\n".encode())

    def fingerprint(self) -> str:
        """A hash of the whole history, for comparing two runs of one seed."""
        for index, payload in sorted(self.applied.items()):
            self.trace.update(f"{index} {self.hashes[index]} {payload!r}".encode())
        return self.trace.hexdigest()
