"""Giving the lease back: no more believed from the call on, and given back under its revision."""

from __future__ import annotations

import pytest

from raftha.ha.keys import LEADER_LEASE
from raftha.model.ids import Revision
from raftha.model.store import Committed, Rejected, Revoke
from tests.unit.agent.keeper_bench import Bench, holding


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
