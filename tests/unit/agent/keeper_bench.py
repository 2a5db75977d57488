"""A keeper of the lease between a store and a guardian that the test answers for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from raftha.agent.keeper import LeaseKeeper
from raftha.errors import GuardianRefused
from raftha.ha.keys import LEADER_LEASE
from raftha.instants import Instant, Seconds
from raftha.model.ids import Epoch, Revision
from raftha.model.settings import DynamicConfig
from raftha.model.store import (
    Command,
    Committed,
    Entry,
    KeyAbsent,
    Lease,
    Outcome,
    Put,
    Snapshot,
    Transact,
)
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import T0, FakeClock

EPOCH: Final = Epoch(1, 40)
CLAIM: Final = Transact((KeyAbsent(KEYS.leader),), (Put(KEYS.leader, b"{}", LEADER_LEASE),))


@dataclass(slots=True)
class FakeStore:
    """Commands wait until the test says what became of them."""

    revision: int = 39
    created: int | None = None
    lease: int | None = None
    sent: list[tuple[Command, Callable[[Outcome], None]]] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)

    def submit(
        self, command: Command, *, timeout: Seconds, done: Callable[[Outcome], None]
    ) -> None:
        assert timeout > 0
        self.timeouts.append(timeout)
        self.sent.append((command, done))

    def peek(self) -> Snapshot:
        entries, leases = {}, {}
        if self.created is not None:
            entries[KEYS.leader] = Entry(
                key=KEYS.leader,
                value=b"{}",
                create_revision=Revision(self.created),
                mod_revision=Revision(self.created),
                lease=LEADER_LEASE,
            )
        if self.lease is not None:
            leases[LEADER_LEASE] = Lease(
                id=LEADER_LEASE, holder="n1", ttl=Seconds(5.0), revision=Revision(self.lease)
            )
        return Snapshot(
            revision=Revision(self.revision),
            generation=1,
            taken=T0,
            entries=entries,
            leases=leases,
        )

    @property
    def last(self) -> Command:
        return self.sent[-1][0]

    def answer(self, outcome: Outcome, which: int = -1) -> None:
        self.sent[which][1](outcome)

    def lapse(self) -> None:
        """The lease was expired, and the key went with it."""
        self.created = self.lease = None


@dataclass(slots=True)
class FakeGuard:
    """Notes each deadline, the end of one, and each epoch burned; `refuses` makes it say no."""

    armed: list[tuple[Epoch, Revision, Instant]] = field(default_factory=list)
    disarmed: list[Epoch] = field(default_factory=list)
    burned: list[Epoch] = field(default_factory=list)
    refuses: bool = False
    before: Callable[[], object] | None = None
    seen: list[object] = field(default_factory=list)

    def arm(self, epoch: Epoch, renewal: Revision, kill_at: Instant) -> None:
        if self.refuses:
            raise GuardianRefused("no")
        if self.before is not None:
            self.seen.append(self.before())
        self.armed.append((epoch, renewal, kill_at))

    def burn(self, epoch: Epoch) -> None:
        if self.refuses:
            raise GuardianRefused("no")
        if self.before is not None:
            self.seen.append(self.before())
        self.burned.append(epoch)

    def disarm(self, epoch: Epoch) -> None:
        if self.refuses:
            raise GuardianRefused("no")
        self.disarmed.append(epoch)


@dataclass(slots=True)
class Bench:
    """A keeper between its fakes."""

    clock: FakeClock = field(default_factory=FakeClock)
    store: FakeStore = field(default_factory=FakeStore)
    guard: FakeGuard = field(default_factory=FakeGuard)
    settings: DynamicConfig = field(default_factory=DynamicConfig)
    reason: str | None = None
    told: Transact | None = None
    rung: list[str] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    keeper: LeaseKeeper = field(init=False)

    def __post_init__(self) -> None:
        self.keeper = LeaseKeeper(
            store=self.store,
            guard=self.guard,
            clock=self.clock,
            leader_key=KEYS.leader,
            settings=lambda: self.settings,
            hold_back=lambda: self.reason,
            note=lambda: b"[1,5000]",
            telling=lambda _held, note: self.told if note == b"[1,5000]" else None,
            renewed=lambda: self.rung.append("renewed"),
            changed=lambda: self.rung.append("changed"),
            settled=lambda outcome: self.outcomes.append(type(outcome).__name__.lower()),
        )

    def step(self, after: float = 0.0) -> Seconds:
        return self.keeper.step(self.clock.advance(after))

    def commit(self, handed_over: Instant) -> None:
        """The last command committed."""
        self.store.revision += 1
        if isinstance(self.store.last, Transact):
            self.store.created = self.store.revision
        self.store.lease = self.store.revision
        self.store.answer(Committed(Revision(self.store.revision), handed_over))

    def win(self) -> None:
        self.keeper.acquire(CLAIM, LEADER_LEASE, self.settings.ttl)
        self.step()
        self.commit(self.clock.now())
        self.step()

    def valid_for(self) -> float | None:
        held = self.keeper.held
        return None if held is None else held.valid_until.boot - self.clock.now().boot


def holding() -> Bench:
    """A keeper that has just won the lease, a heartbeat ago."""
    bench = Bench()
    bench.win()
    bench.clock.advance(1.0)
    return bench
