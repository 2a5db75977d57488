"""The clients of the consensus world: what each data host asks of the key store.

Three kinds live on every host that is no witness: a writer of unique keys, whose acknowledged
writes must be there in the end; a user of a few shared keys, whose history must be linearizable;
and the shipped `LeaseKeeper` between a guardian that counts and a loop that strives for the lease.
They stop and are frozen with their host's process; the guardian is not.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from raftha.agent.keeper import LeaseKeeper
from raftha.consensus.store import KeyStore
from raftha.instants import Instant, Seconds
from raftha.model.ids import Epoch, Revision
from raftha.model.settings import DynamicConfig
from raftha.model.store import (
    Barrier,
    Command,
    Committed,
    Entry,
    Grant,
    Guard,
    Key,
    KeyAbsent,
    KeyAt,
    KeyCreatedAt,
    LeaseId,
    NotSent,
    Outcome,
    Put,
    Refresh,
    Rejected,
    Remove,
    Transact,
)
from tests.sim.checkers import LeaseChecker, Verdicts
from tests.sim.host import Deadline, Host
from tests.sim.linear import Kind, Operation, Seen, is_linearizable

LEASE: Final = LeaseId("lease")
LEADER: Final = Key("leader")
SHARED: Final = tuple(Key(f"shared/{number}") for number in range(2))
PATIENCE: Final = Seconds(2.0)

Later = Callable[[Host, Callable[[], None]], None]
"""Runs something in a host's process at the host's present, if the process still lives then."""


class Records(Struct):
    """What all clients were told, for the checkers."""

    acknowledged: set[Key] = field(default_factory=set)
    refused: set[Key] = field(default_factory=set)
    histories: dict[Key, list[Operation]] = field(
        default_factory=lambda: {key: [] for key in SHARED}
    )
    written: int = 0

    def check(self, verdicts: Verdicts) -> None:
        """The concurrent half of S4."""
        for key, history in self.histories.items():
            if not is_linearizable(history):
                verdicts.violate(f"S4: what clients saw of {key} is not linearizable")

    def check_final(self, verdicts: Verdicts, name: str, present: set[Key]) -> None:
        """On this host is all that was acknowledged and nothing that was refused."""
        lost = sorted(self.acknowledged - present)
        ghosts = sorted(self.refused & present)
        if lost:
            verdicts.violate(f"S4: {name} misses acknowledged {lost[:3]}")
        if ghosts:
            verdicts.violate(f"S4: {name} holds refused {ghosts[:3]}")


class Client:
    """All clients of one process."""

    def __init__(
        self,
        host: Host,
        store: KeyStore,
        *,
        random: Random,
        records: Records,
        leases: LeaseChecker,
        settings: Callable[[], DynamicConfig],
        later: Later,
        renewing: Callable[[], None],
    ) -> None:
        self._host = host
        self._store = store
        self._random = random
        self._records = records
        self._later = later
        self._known: dict[Key, tuple[int, Revision]] = {}
        self.leader = LeaseSeeker(host, store, random, leases, settings, later, renewing)

    def act(self) -> None:
        """What a process does now and then."""
        chance = self._random.random()
        if chance < 0.15:
            self.write(lambda _: None)
        elif chance < 0.55:
            self._use_shared(self._random.choice(SHARED))
        self.leader.act()

    def write(self, done: Callable[[bool], None]) -> None:
        """Create a key of its own."""
        records = self._records
        records.written += 1
        key = Key(f"own/{records.written}")
        command = Transact((KeyAbsent(key),), (Put(key, b"1"),))

        def told(outcome: Outcome) -> None:
            match outcome:
                case Committed():
                    records.acknowledged.add(key)
                case Rejected() | NotSent():
                    records.refused.add(key)
                case _:
                    pass
            done(isinstance(outcome, Committed))

        self._submit(command, told)

    def _use_shared(self, key: Key) -> None:
        known = self._known.get(key)
        choice = self._random.random()
        if choice < 0.3 or (known is None and choice < 0.6):
            self._read(key)
        elif known is None:
            self._change(key, Kind.CREATE, KeyAbsent(key), None)
        elif choice < 0.9:
            self._change(key, Kind.COMPARE_AND_SET, KeyAt(key, known[1]), known[0])
        else:
            self._change(key, Kind.DELETE, KeyAt(key, known[1]), known[0])

    def _read(self, key: Key) -> None:
        operation = self._begin(key, Operation(Kind.READ, self._host.time.now))

        def told(outcome: Outcome) -> None:
            if not isinstance(outcome, Committed):
                self._records.histories[key].remove(operation)
                return
            entry = self._store.peek().entries.get(key)
            operation.value = None if entry is None else int(entry.value)
            self._learn(key, entry)
            self._finish(operation, Seen.DONE)

        self._submit(Barrier(), told)

    def _change(self, key: Key, kind: Kind, guard: Guard, expected: int | None) -> None:
        self._records.written += 1
        value = self._records.written
        extra = self._fence()
        guards = (guard, *extra)
        operation = Operation(
            kind, self._host.time.now, expected=expected, value=value, guarded=bool(extra)
        )
        self._begin(key, operation)
        write = Remove(key) if kind is Kind.DELETE else Put(key, str(value).encode())

        def told(outcome: Outcome) -> None:
            match outcome:
                case Committed():
                    self._finish(operation, Seen.DONE)
                    self._known[key] = (value, outcome.revision)
                case Rejected():
                    self._finish(operation, Seen.REFUSED)
                case NotSent():
                    self._records.histories[key].remove(operation)
                case _:
                    pass
            if kind is Kind.DELETE or not isinstance(outcome, Committed):
                self._known.pop(key, None)

        self._submit(Transact(guards, (write,)), told)

    def _fence(self) -> tuple[Guard, ...]:
        """Now and then a write is fenced by the leader's epoch, as a leader's writes are."""
        leader = self._store.peek().entries.get(LEADER)
        if leader is None or self._random.random() < 0.7:
            return ()
        return (KeyCreatedAt(LEADER, leader.create_revision),)

    def _learn(self, key: Key, entry: Entry | None) -> None:
        self._known.pop(key, None)
        if entry is not None:
            self._known[key] = (int(entry.value), entry.mod_revision)

    def _begin(self, key: Key, operation: Operation) -> Operation:
        self._records.histories[key].append(operation)
        return operation

    def _finish(self, operation: Operation, seen: Seen) -> None:
        operation.seen = seen
        operation.returned = self._host.time.now

    def _submit(self, command: Command, told: Callable[[Outcome], None]) -> None:
        self._store.submit(
            command,
            timeout=PATIENCE,
            done=lambda outcome: self._later(self._host, lambda: told(outcome)),
        )


class LeaseSeeker:
    """Strives for the lease as an agent does, with the shipped keeper."""

    def __init__(
        self,
        host: Host,
        store: KeyStore,
        random: Random,
        leases: LeaseChecker,
        settings: Callable[[], DynamicConfig],
        later: Later,
        renewing: Callable[[], None],
    ) -> None:
        self._host = host
        self._store = store
        self._random = random
        self._settings = settings
        self._later = later
        self._renewing = renewing
        self.releases = True
        self._guardian = Guardian(host, leases, settings)
        self._keeper = LeaseKeeper(
            store=self,
            guard=self._guardian,
            clock=host.clock,
            leader_key=LEADER,
            settings=settings,
            hold_back=lambda: None,
            note=lambda: b"",
            renewed=lambda: None,
            changed=lambda: None,
        )

    def act(self) -> None:
        """Renew if it is time; take up what an earlier process held; strive if nobody holds it."""
        host, keeper = self._host, self._keeper
        now = host.clock.now()
        keeper.step(now)
        held = keeper.held
        if held is not None:
            if not held.is_valid(now):
                keeper.forget("over")
            elif self.releases and self._random.random() < 0.01:
                self._guardian.stop()
                keeper.release()
        elif not keeper.busy:
            self._strive()
        keeper.step(now)

    def _strive(self) -> None:
        host = self._host
        snapshot = self._store.peek()
        lease, leader = snapshot.leases.get(LEASE), snapshot.entries.get(LEADER)
        mine = leader is not None and leader.value == host.name.encode()
        if host.may_write(host.time.now):
            epoch = snapshot.epoch_of(LEADER)
            deadline = host.deadline
            if lease and mine and deadline is not None and epoch == deadline.epoch:
                self._keeper.readopt(deadline.epoch, LEASE, lease.revision, lease.ttl)
        elif lease is None and leader is None:
            self._guardian.may_start = True
            ttl = self._settings().ttl
            writes = (Grant(LEASE, host.name, ttl), Put(LEADER, host.name.encode(), LEASE))
            self._keeper.acquire(Transact((KeyAbsent(LEADER),), writes), LEASE, ttl)

    # The keeper's view of the store: the same, but answers come when the round has ended.

    def submit(
        self, command: Command, *, timeout: Seconds, done: Callable[[Outcome], None]
    ) -> None:
        def told(outcome: Outcome) -> None:
            done(outcome)
            self._keeper.step(self._host.clock.now())

        if isinstance(command, Refresh):
            self._renewing()
        self._store.submit(
            command,
            timeout=timeout,
            done=lambda outcome: self._later(self._host, lambda: told(outcome)),
        )

    def peek(self) -> object:
        return self._store.peek()


class Guardian:
    """Counts the deadline that it is given; a primary lives until the fence after it is done, or
    until it was stopped."""

    def __init__(
        self, host: Host, leases: LeaseChecker, settings: Callable[[], DynamicConfig]
    ) -> None:
        self._host = host
        self._leases = leases
        self._settings = settings
        self.may_start = True

    def stop(self) -> None:
        """Stop the primary, verified; a renewal that is still under way starts none."""
        self.may_start = False
        self._host.deadline = None

    def burn(self, epoch: Epoch) -> None:
        """An epoch is given back only after its primary was stopped."""
        deadline = self._host.deadline
        assert deadline is None or deadline.epoch != epoch

    def arm(self, epoch: Epoch, renewal: Revision, kill_at: Instant) -> None:
        host = self._host
        if not self.may_start:
            return
        previous = host.deadline
        host.deadline = Deadline(epoch, renewal, kill_at.plus(self._settings().fence_budget))
        self._leases.armed(host, host.time.now, previous)


def shorter(settings: DynamicConfig, ttl: Seconds) -> DynamicConfig:
    """The same settings with another ttl and what hangs on it."""
    return replace(settings, ttl=ttl, heartbeat=Seconds(ttl / 5), retry_timeout=Seconds(ttl / 4))
