"""The keeper, stepped by hand: from when a lease counts, and when it is believed no more."""

from __future__ import annotations

import pytest

from raftha.ha.keys import LEADER_LEASE
from raftha.instants import Seconds
from raftha.model.ids import Revision
from raftha.model.settings import DynamicConfig
from raftha.model.store import (
    KeyAbsent,
    NotSent,
    Put,
    Refresh,
    Rejected,
    Transact,
    Unknown,
)
from tests.unit.agent.keeper_bench import CLAIM, EPOCH, Bench, holding
from tests.unit.ha.builders import KEYS
from tests.unit.ha.servers import T0


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def held() -> Bench:
    return holding()


def test_a_lease_is_counted_from_the_hand_over_and_not_from_the_answer(bench: Bench) -> None:
    bench.keeper.acquire(CLAIM, LEADER_LEASE, Seconds(5.0))
    bench.step()
    handed_over = bench.clock.now()
    bench.clock.advance(1.5)
    bench.commit(handed_over)
    bench.step()

    assert bench.valid_for() == pytest.approx(0.99 * 5.0 - 1.5)
    assert bench.keeper.held is not None
    assert bench.keeper.held.epoch == EPOCH


def test_nothing_is_believed_before_the_answer(bench: Bench) -> None:
    bench.keeper.acquire(CLAIM, LEADER_LEASE, Seconds(5.0))
    bench.step()

    assert bench.keeper.held is None
    assert bench.keeper.busy


def test_the_guardian_is_told_first_and_sooner_by_the_budget(bench: Bench) -> None:
    bench.guard.before = lambda: bench.keeper.held
    bench.win()

    assert bench.guard.seen == [None]
    epoch, renewal, kill_at = bench.guard.armed[0]
    assert (epoch, renewal) == (EPOCH, 40)
    assert kill_at == T0.plus(0.99 * 5.0).plus(-0.5)


def test_each_renewal_is_a_new_command_that_expects_the_last_revision(held: Bench) -> None:
    held.step()
    held.commit(held.clock.now())
    held.step()
    held.step(after=1.0)

    held.step(after=3.0)
    assert held.outcomes == ["committed"]
    renewals = [command for command, _ in held.store.sent if isinstance(command, Refresh)]
    assert [r.expect for r in renewals] == [40, 41], "or two at a time"
    assert renewals[0].note == b"[1,5000]"
    assert held.rung == ["changed", "renewed"], "a renewal is no news"


def test_what_outlives_the_lease_goes_before_the_renewal_and_holds_none_up(held: Bench) -> None:
    held.told = Transact((KeyAbsent(KEYS.position),), (Put(KEYS.position, b"{}"),))
    held.step()

    assert [type(command) for command, _ in held.store.sent[1:]] == [Transact, Refresh]
    held.store.answer(NotSent("the queue is full"), which=-2)
    held.commit(held.clock.now())
    held.step()
    held.step(after=1.0)
    assert held.outcomes == ["committed"]
    assert [type(command) for command, _ in held.store.sent[3:]] == [Transact, Refresh]


def test_no_renewal_is_sent_before_a_heartbeat_has_passed() -> None:
    bench = Bench()
    bench.win()

    assert bench.step(after=0.4) == pytest.approx(0.6)
    assert len(bench.store.sent) == 1


def test_an_unknown_outcome_does_not_extend_the_lease(held: Bench) -> None:
    before = held.keeper.held
    held.step()
    held.store.answer(Unknown("the answer was lost"))
    held.step()

    assert held.keeper.held is not None
    assert before is not None
    assert held.keeper.held.valid_until == before.valid_until
    held.step(after=1.0)
    renewals = [command for command, _ in held.store.sent if isinstance(command, Refresh)]
    assert len(renewals) == 2, "the next attempt is a command of its own"
    assert held.outcomes == ["unknown"]


def test_the_revision_of_a_renewal_unheard_is_taken_over(held: Bench) -> None:
    held.step()
    held.store.revision = held.store.lease = 41
    held.store.answer(Unknown("the answer was lost"))
    held.step()

    assert held.keeper.held is not None
    assert held.keeper.held.revision == 41
    assert held.keeper.held.valid_until == T0.plus(0.99 * 5.0), "its time is not taken over (R1)"
    assert isinstance(held.store.last, Refresh)
    assert held.store.last.expect == 41


def test_a_shorter_ttl_is_lived_by_before_it_is_proposed(held: Bench) -> None:
    held.settings = DynamicConfig(ttl=Seconds(2.0))
    sent_when_armed: list[int] = []
    held.guard.before = lambda: sent_when_armed.append(len(held.store.sent))
    held.step()

    assert held.keeper.held is not None
    assert held.keeper.held.valid_until == T0.plus(0.99 * 2.0)
    assert held.guard.armed[-1] == (EPOCH, 40, T0.plus(0.99 * 2.0).plus(-0.5))
    assert sent_when_armed == [1], "the guardian was told after the renewal went out"
    assert isinstance(held.store.last, Refresh)
    assert held.store.last.ttl == 2.0


def test_a_longer_ttl_counts_only_once_it_is_committed(held: Bench) -> None:
    held.settings = DynamicConfig(ttl=Seconds(30.0))
    held.step()
    assert held.valid_for() == pytest.approx(0.99 * 5.0 - 1.0)

    held.commit(held.clock.now())
    held.step()
    assert held.valid_for() == pytest.approx(0.99 * 30.0)


def test_while_a_longer_ttl_is_not_committed_the_short_lease_is_renewed_in_its_time(
    bench: Bench,
) -> None:
    """The heartbeat of the longer ttl is longer than what is left of the lease."""
    bench.win()
    bench.settings = DynamicConfig(
        ttl=Seconds(30.0), heartbeat=Seconds(6.0), retry_timeout=Seconds(7.5)
    )
    assert bench.step(after=0.5) == pytest.approx(0.5)
    bench.step(after=0.5)

    renewal = bench.store.last
    assert isinstance(renewal, Refresh)
    assert renewal.ttl == 30.0
    assert bench.store.timeouts[-1] == pytest.approx(7.5 / 6)
    bench.commit(bench.clock.now())
    bench.step()
    assert bench.valid_for() == pytest.approx(0.99 * 30.0)
    assert bench.step(after=1.0) == pytest.approx(5.0)


def test_a_ttl_is_shortened_only_from_a_renewal_that_is_young_enough(bench: Bench) -> None:
    """With the shorter one it would be over at once, and the primary fenced for nothing."""
    bench.settings = DynamicConfig(
        ttl=Seconds(30.0), heartbeat=Seconds(6.0), retry_timeout=Seconds(7.5)
    )
    bench.win()
    bench.settings = DynamicConfig(ttl=Seconds(5.0))
    bench.step(after=5.9)

    renewal = bench.store.last
    assert isinstance(renewal, Refresh)
    assert renewal.ttl == 30.0, "it is not lived by yet"
    assert bench.valid_for() > 20.0
    bench.commit(bench.clock.now())
    bench.step()
    assert bench.valid_for() == pytest.approx(0.99 * 5.0)
    bench.step(after=1.0)
    renewal = bench.store.last
    assert isinstance(renewal, Refresh)
    assert renewal.ttl == 5.0


def test_a_lease_that_the_guardian_does_not_take_is_not_held(bench: Bench) -> None:
    bench.guard.refuses = True
    bench.win()

    assert bench.keeper.held is None


def test_a_renewal_that_the_guardian_does_not_take_ends_the_belief(held: Bench) -> None:
    held.step()
    held.guard.refuses = True
    held.commit(held.clock.now())
    held.step()

    assert held.keeper.held is None


def test_a_renewal_is_held_back_while_the_node_is_not_fit(held: Bench) -> None:
    held.reason = "PostgreSQL does not answer"
    pause = held.step()

    assert len(held.store.sent) == 1
    assert 0 < pause < held.settings.heartbeat
    held.reason = None
    held.step()
    assert len(held.store.sent) == 2


def test_a_renewal_rejected_under_another_epoch_ends_the_belief(held: Bench) -> None:
    held.step()
    held.store.created, held.store.lease, held.store.revision = 45, 45, 45
    held.store.answer(Rejected("lease at 45"))
    held.step()

    assert held.keeper.held is None


def test_a_lapsed_lease_is_forgotten_so_that_the_race_can_be_run_again(held: Bench) -> None:
    held.clock.advance(10.0)
    held.step()
    held.store.lapse()
    held.store.answer(Rejected("no such lease"))
    held.step()
    assert held.keeper.held is None
    assert len(held.store.sent) == 2, "a lease that is gone is renewed again and again"

    held.keeper.acquire(CLAIM, LEADER_LEASE, Seconds(5.0))
    held.step()
    assert held.store.last == CLAIM


def test_a_race_is_not_run_while_the_lease_is_held(held: Bench) -> None:
    held.keeper.acquire(CLAIM, LEADER_LEASE, Seconds(5.0))
    held.step()

    assert [command for command, _ in held.store.sent].count(CLAIM) == 1


def test_a_lost_race_leaves_nothing_behind(bench: Bench) -> None:
    bench.keeper.acquire(CLAIM, LEADER_LEASE, Seconds(5.0))
    bench.step()
    bench.store.answer(Rejected("leader exists"))
    bench.step()

    assert bench.keeper.held is None
    assert not bench.keeper.busy


def test_a_command_that_never_left_changes_nothing(held: Bench) -> None:
    before = held.keeper.held
    held.step()
    held.store.answer(NotSent("no raft leader"))
    held.step()

    assert held.keeper.held == before


def test_a_restarted_agent_takes_its_lease_up_under_the_same_epoch(bench: Bench) -> None:
    bench.store.created, bench.store.lease, bench.store.revision = 40, 57, 57
    bench.keeper.readopt(EPOCH, LEADER_LEASE, Revision(57), Seconds(30.0))
    bench.step()
    assert isinstance(bench.store.last, Refresh)
    assert bench.store.last.expect == 57
    assert bench.store.last.ttl == 30.0, "the guardian's deadline may rest on the longer ttl (R2)"
    assert bench.keeper.held is None

    bench.commit(bench.clock.now())
    bench.step()
    assert bench.keeper.held is not None
    assert bench.keeper.held.epoch == EPOCH


def test_a_renewal_in_flight_does_not_bring_a_forgotten_lease_back(held: Bench) -> None:
    held.step()
    held.keeper.forget("the guardian is gone")
    held.step()
    held.commit(held.clock.now())
    held.step()

    assert held.keeper.held is None
