"""One scenario each for R2 and R6: the shipped keeper on the shipped store, and who ends its lease.

`a` holds the lease, `b` leads the Raft group. What counts is true time, which no node can read:
when `a` lets go of the lease, and when the others have ended it.
"""

from __future__ import annotations

from typing import Final

import pytest
from msgspec.structs import replace

from raftha.agent.keeper import LeaseKeeper
from raftha.instants import Instant, Seconds, remaining
from raftha.model.ids import Epoch, Revision
from raftha.model.settings import DynamicConfig
from raftha.model.store import Grant, Key, KeyAbsent, LeaseId, Put, Transact
from tests.sim.group import Group

LEADER: Final = Key("leader")
LEASE: Final = LeaseId("leader")
TTL: Final = Seconds(6.0)
STEP_S: Final = 0.02


class Held:
    """A group in which `a` has just won the lease and armed its guardian."""

    def __init__(self) -> None:
        self.group = Group()
        self.group.elect("b")
        self.settings = DynamicConfig(ttl=TTL, heartbeat=Seconds(1.0))
        self.kill_at: Instant | None = None
        self.passed = 0.0
        self._clock = self.group.node("a")._clock
        self.keeper = LeaseKeeper(
            store=self.group.node("a").store,
            guard=self,
            clock=self._clock,
            leader_key=LEADER,
            settings=lambda: self.settings,
            hold_back=lambda: None,
            note=lambda: b"",
            renewed=lambda: None,
            changed=lambda: None,
        )
        writes = (Grant(LEASE, "a", TTL), Put(LEADER, b"a", LEASE))
        self.keeper.acquire(Transact((KeyAbsent(LEADER),), writes), LEASE, TTL)
        self.hand_over()
        self.settle("abc")

    def arm(self, epoch: Epoch, renewal: Revision, kill_at: Instant) -> None:
        """The guardian of `a`: what starts at `kill_at` has ended when the lease has."""
        del epoch, renewal
        self.kill_at = kill_at.plus(self.settings.fence_budget)

    def lets_live(self) -> bool:
        """Whether a primary may live on `a` now."""
        return self.kill_at is not None and remaining(self.kill_at, self._clock.now()) > 0

    def hand_over(self) -> None:
        """What the keeper wants to say is on its way to the raft leader."""
        self.keeper.step(self._clock.now())
        self.group.step("a")

    def settle(self, among: str) -> None:
        for _ in range(2):
            self.group.settle(among)
        self.keeper.step(self._clock.now())

    def set_clock(self, names: str, boot: float, raw: float, *, sleeps: bool = False) -> None:
        """From now on CLOCK_BOOTTIME and CLOCK_MONOTONIC_RAW run at these rates there."""
        for name in names:
            clock = self.group.node(name)._clock
            clock.run_at(boot, raw, sleeps=sleeps)  # type: ignore[attr-defined]

    def pass_time(self, seconds: float) -> None:
        self.passed += seconds
        for name in self.group.seats:
            self.group.pass_time(name, seconds)

    def both_let_go(self) -> tuple[float, float]:
        """Cut `a` off; the true times at which it lets go, and at which the lease is ended."""
        self.group.isolate("a")
        let_go = ended = 0.0
        while not (let_go and ended):
            assert self.passed < 3 * TTL, f"let go at {let_go}, ended at {ended}"
            self.pass_time(STEP_S)
            self.group.step("bc")
            if self.group.flying("b", "c") or self.group.flying("c", "b"):
                self.settle("bc")
            if not ended and LEASE not in self.group.node("b").store.peek().leases:
                ended = self.passed
            if not let_go and not self.lets_live():
                let_go = self.passed
        return let_go, ended


def test_r2_a_holder_that_never_hears_of_its_shorter_ttl_is_done_before_the_others_are() -> None:
    """The renewal with the shorter ttl commits, and its answer is lost: the others count by it at
    once, and the holder's guardian must have counted by it before the renewal left."""
    held = Held()
    assert held.lets_live()
    held.pass_time(0.5)
    held.settings = replace(held.settings, ttl=Seconds(2.5), heartbeat=Seconds(0.5))
    held.hand_over()
    held.group.deliver("a", "b")
    held.group.isolate("a")
    held.settle("bc")
    assert held.group.node("b").store.peek().leases[LEASE].ttl == 2.5, "the renewal is committed"

    let_go, ended = held.both_let_go()

    assert let_go <= ended
    assert ended == pytest.approx(0.5 + 2.5 * 1.01, abs=2 * STEP_S)


@pytest.mark.parametrize(
    ("holder", "others"),
    [
        pytest.param((1.0, 1.0), (1.0, 1.0), id="true clocks"),
        pytest.param((0.9, 1.0), (1.1, 1.0), id="chrony slews one back and the other on"),
        pytest.param((0.9, 1.0), (1.0, 1.01), id="a fast oscillator beside a slewed clock"),
        pytest.param((0.99, 0.99), (1.01, 1.01), id="oscillators at their bound"),
    ],
)
def test_r6_whatever_one_clock_of_a_host_does_the_holder_is_done_first(
    holder: tuple[float, float], others: tuple[float, float]
) -> None:
    """The larger part of two clocks here, the smaller there: rho bounds the oscillators alone."""
    held = Held()
    held.set_clock("a", *holder)
    held.set_clock("bc", *others)

    let_go, ended = held.both_let_go()

    assert 0.9 * TTL < let_go <= ended
    assert ended <= TTL * 1.01 / 0.99 + 2 * STEP_S, "nor is it ended much later than needed"


@pytest.mark.parametrize("awake_s", [0.0, 4.5])
def test_r6_a_holder_that_is_slewed_slower_and_then_suspended_is_done_first(awake_s: float) -> None:
    """CLOCK_BOOTTIME loses a tenth of the time awake and CLOCK_MONOTONIC_RAW all of the suspend."""
    held = Held()
    held.group.isolate("a")
    held.set_clock("a", 0.9, 1.0)
    held.pass_time(awake_s)
    held.set_clock("a", 0.9, 1.0, sleeps=True)

    let_go, ended = held.both_let_go()

    assert 0.9 * TTL < let_go <= ended
