"""The keeper in a maintenance pause: the lease goes on, the guardian's deadline does not."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from raftha.ha.keys import LEADER_LEASE
from raftha.instants import Seconds
from raftha.model.ids import Epoch, Revision
from raftha.model.settings import DynamicConfig
from raftha.model.store import Refresh
from tests.unit.agent.keeper_bench import CLAIM, EPOCH, Bench, holding


@pytest.fixture
def held() -> Bench:
    return holding()


def renew(bench: Bench) -> None:
    bench.step(after=1.0)
    assert isinstance(bench.store.last, Refresh)
    bench.commit(bench.clock.now())
    bench.step()


def disarmed() -> Bench:
    bench = holding()
    bench.keeper.disarm(EPOCH)
    bench.step()
    bench.commit(bench.clock.now())
    bench.step()
    return bench


def is_armed(bench: Bench) -> bool | None:
    held = bench.keeper.held
    return None if held is None else held.armed


def test_nobody_takes_the_lease_for_armed_from_the_very_call_on(held: Bench) -> None:
    """The keeper's thread may be busy: what has yet to be done must show already."""
    assert is_armed(held)
    held.keeper.disarm(EPOCH)

    assert is_armed(held) is False
    assert held.guard.disarmed == []


def test_a_disarmed_lease_is_renewed_without_a_deadline() -> None:
    bench = disarmed()
    before = len(bench.guard.armed)
    renew(bench)
    renew(bench)

    assert bench.guard.disarmed == [EPOCH]
    assert len(bench.guard.armed) == before
    assert bench.valid_for() == pytest.approx(0.99 * 5.0)
    assert is_armed(bench) is False


def test_a_renewal_in_flight_does_not_arm_again(held: Bench) -> None:
    held.step()
    before = len(held.guard.armed)
    held.keeper.disarm(EPOCH)
    held.step()
    held.commit(held.clock.now())
    held.step()

    assert len(held.guard.armed) == before
    assert is_armed(held) is False


def test_a_newer_renewal_arms_again_at_once() -> None:
    """The guardian takes no deadline from the renewal that it was disarmed under."""
    bench = disarmed()
    bench.keeper.rearm()
    bench.step(after=0.1)
    assert isinstance(bench.store.last, Refresh)
    assert is_armed(bench) is False, "not before the guardian has it"
    bench.commit(bench.clock.now())
    bench.guard.before = lambda: is_armed(bench)
    bench.step()

    assert bench.guard.seen == [False]
    assert bench.guard.armed[-1][:2] == (EPOCH, bench.store.revision)
    assert is_armed(bench)


def test_whoever_asks_for_arming_again_and_again_renews_once() -> None:
    bench = disarmed()
    sent = len(bench.store.sent)
    for _ in range(3):
        bench.keeper.rearm()
        bench.step(after=0.05)

    assert len(bench.store.sent) == sent + 1


def test_a_disarming_after_an_arming_is_still_one_that_has_to_be_done() -> None:
    """Resumed and paused again at once: the arming is not believed while the other waits."""
    bench = disarmed()
    bench.keeper.rearm()
    bench.step(after=0.1)
    bench.commit(bench.clock.now())
    bench.step()
    assert is_armed(bench)
    bench.keeper.disarm(EPOCH)
    bench.keeper.rearm()

    assert is_armed(bench) is False
    bench.step(after=0.1)
    assert is_armed(bench) is False
    assert bench.guard.disarmed == [EPOCH, EPOCH]


def test_a_guardian_that_does_not_answer_gets_its_deadline_as_ever(held: Bench) -> None:
    """It may have heard, and do it late; else it would kill a server that is left to it."""
    held.guard.refuses = True
    held.keeper.disarm(EPOCH)
    held.step()
    assert is_armed(held) is False
    held.guard.refuses = False
    held.commit(held.clock.now())
    held.step()

    assert held.guard.armed[-1][1] == held.store.revision
    assert is_armed(held)


def test_a_late_disarming_does_not_touch_a_later_epoch(held: Bench) -> None:
    held.keeper.disarm(Epoch(1, 30))
    held.step()

    assert held.guard.disarmed == []
    assert is_armed(held)


def test_a_restarted_agent_leaves_a_disarmed_guardian_alone() -> None:
    bench = Bench()
    bench.store.revision = bench.store.created = bench.store.lease = 40
    bench.keeper.readopt(EPOCH, LEADER_LEASE, Revision(40), Seconds(5.0), armed=False)
    bench.step()
    bench.commit(bench.clock.now())
    bench.step()
    assert (is_armed(bench), bench.guard.armed) == (False, [])

    renew(bench)
    assert bench.guard.armed == []


def test_a_key_taken_again_in_a_pause_leaves_the_guardian_alone() -> None:
    bench = Bench()
    bench.keeper.acquire(CLAIM, LEADER_LEASE, Seconds(5.0), armed=False)
    bench.step()
    bench.commit(bench.clock.now())
    bench.step()

    assert (is_armed(bench), bench.guard.armed) == (False, [])


def test_the_next_lease_is_armed_as_ever() -> None:
    bench = disarmed()
    bench.keeper.forget("the lease has lapsed")
    bench.step()
    bench.store.lapse()
    bench.win()

    assert is_armed(bench)
    assert len(bench.guard.armed) == 2


def test_a_shorter_ttl_arms_nothing_in_a_pause() -> None:
    bench = disarmed()
    before = len(bench.guard.armed)
    bench.settings = replace(DynamicConfig(), ttl=Seconds(2.0))
    bench.step()

    assert len(bench.guard.armed) == before
