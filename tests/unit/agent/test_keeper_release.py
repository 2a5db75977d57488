"""Giving the lease back: no more believed from the call on, and given back under its revision."""

from __future__ import annotations

import pytest

from raftha.ha.keys import LEADER_LEASE
from raftha.model.ids import Revision
from raftha.model.store import Committed, NotSent, Outcome, Rejected, Revoke, Unknown
from tests.unit.agent.keeper_bench import EPOCH, Bench, holding


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def held() -> Bench:
    return holding()


@pytest.mark.parametrize("in_flight", [False, True], ids=["at rest", "during a renewal"])
def test_a_released_lease_is_believed_no_more_from_the_call_on(
    held: Bench, in_flight: bool
) -> None:
    """Before the keeper's thread took it up: else the loop, which looks again, starts what it has
    just handed over."""
    if in_flight:
        held.step()
    held.keeper.release()
    assert held.keeper.held is None
    assert held.keeper.busy

    held.step()
    assert held.keeper.held is None
    assert held.keeper.busy


def test_nothing_to_give_back_leaves_nothing_under_way(bench: Bench) -> None:
    bench.keeper.release()
    bench.step()

    assert not bench.keeper.busy
    assert bench.store.sent == []


def test_releasing_stops_the_renewals(held: Bench) -> None:
    held.keeper.release()
    held.step()
    assert held.store.last == Revoke(LEADER_LEASE, Revision(40))
    assert held.keeper.held is None
    assert held.keeper.busy

    held.step(after=5.0)
    assert len(held.store.sent) == 2
    held.store.answer(Committed(Revision(41), held.clock.now()))
    held.step()
    assert not held.keeper.busy


def test_an_epoch_is_burned_before_it_is_given_back(held: Bench) -> None:
    """Once the key may be another's, nothing is to be made under this epoch, whoever asks."""
    held.guard.before = lambda: held.store.last
    held.keeper.release()
    held.step()

    assert held.guard.burned == [EPOCH]
    assert not isinstance(held.guard.seen[-1], Revoke), "the key was given back before"
    assert isinstance(held.store.last, Revoke)


def test_an_epoch_that_is_not_burned_is_not_given_back_and_believed_no_more(held: Bench) -> None:
    held.guard.refuses = True
    held.keeper.release()
    held.step()
    held.step(after=5.0)

    assert not any(isinstance(command, Revoke) for command, _ in held.store.sent)
    assert held.keeper.held is None
    assert not held.keeper.busy


@pytest.mark.parametrize("outcome", [NotSent("no majority"), Unknown("lost"), Rejected("at 41")])
def test_a_lease_is_given_back_until_it_is_gone(held: Bench, outcome: Outcome) -> None:
    """Nobody else can: its epoch is burned. A renewal may have committed unheard meanwhile."""
    held.keeper.release()
    held.step()
    held.store.revision = held.store.lease = 41
    held.store.answer(outcome)
    held.step()
    assert held.keeper.busy
    assert len(held.store.sent) == 2, "or it is asked for without a pause"

    held.step(after=1.0)
    assert held.store.last == Revoke(LEADER_LEASE, Revision(41))
    held.step(after=1.0)
    assert len(held.store.sent) == 3, "or two are under way"
    held.store.lapse()
    held.store.answer(outcome)
    held.step()
    assert not held.keeper.busy
    held.step(after=1.0)
    assert len(held.store.sent) == 3


def test_what_a_dead_guardian_left_is_burned_and_given_back_without_being_believed(
    bench: Bench,
) -> None:
    bench.store.revision = bench.store.created = bench.store.lease = 40
    bench.guard.before = lambda: len(bench.store.sent)
    bench.keeper.give_back(EPOCH, LEADER_LEASE, Revision(40))
    assert bench.keeper.held is None
    assert bench.keeper.busy

    bench.step()
    assert bench.guard.burned == [EPOCH]
    assert bench.guard.seen == [0], "given back before it was burned"
    assert bench.store.last == Revoke(LEADER_LEASE, Revision(40))
    assert bench.keeper.held is None
    bench.store.answer(Committed(Revision(41), bench.clock.now()))
    bench.step()
    assert not bench.keeper.busy


def test_what_is_not_burned_is_left_to_lapse(bench: Bench) -> None:
    bench.guard.refuses = True
    bench.keeper.give_back(EPOCH, LEADER_LEASE, Revision(40))
    bench.step()

    assert bench.store.sent == []
    assert not bench.keeper.busy


def test_who_holds_a_lease_gives_none_back_that_was_left(held: Bench) -> None:
    held.keeper.give_back(EPOCH, LEADER_LEASE, Revision(40))
    held.step()

    assert held.keeper.held is not None
    assert not any(isinstance(command, Revoke) for command, _ in held.store.sent)


def test_a_key_that_somebody_else_won_is_left_alone(held: Bench) -> None:
    held.keeper.release()
    held.step()
    held.store.revision = held.store.created = held.store.lease = 43
    held.store.answer(Unknown("lost"))
    held.step()

    assert not held.keeper.busy
    held.step(after=1.0)
    assert len(held.store.sent) == 2


def test_a_release_during_a_renewal_still_gives_the_key_back(held: Bench) -> None:
    held.step()
    held.keeper.release()
    held.step()
    held.store.revision = held.store.lease = 41
    held.store.answer(Committed(Revision(41), held.clock.now()), which=1)
    held.step()
    if held.store.last == Revoke(LEADER_LEASE, Revision(40)):
        held.store.answer(Rejected("lease at 41"))
        held.step()

    assert held.store.last == Revoke(LEADER_LEASE, Revision(41))
    assert held.keeper.held is None
