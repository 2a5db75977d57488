"""What is taken onto the schedule, and off it, and what each refusal leaves as it was."""

from __future__ import annotations

from typing import Any

import pytest

from raftha.agent.schedules import Schedules
from raftha.errors import OutcomeUnknown, RafthaError, StoreUnavailable
from raftha.ha.keys import encode
from raftha.instants import Seconds
from raftha.model.ids import MemberName
from raftha.model.scheduling import ScheduledRestart, ScheduleState
from raftha.model.store import KeyAbsent, KeyAt, Put, Transact
from tests.unit.api.fake_schedules import KEYS, FakeScheduleStore, schedules
from tests.unit.ha.servers import N1, N2, N3

DUE = 1.9e9


def restart(member: MemberName = N1, **more: Any) -> ScheduledRestart:
    return ScheduledRestart(due=DUE, member=member, **more)


def test_a_switchover_is_kept_in_the_store_once_and_taken_back() -> None:
    store = FakeScheduleStore()
    here, there = schedules(store), schedules(store, N3, witness=True)

    assert here.switchover(DUE, N1, N2).state is ScheduleState.SCHEDULED
    plan = store.cluster.scheduled_switchover
    assert plan is not None
    assert (plan.due, plan.leader, plan.candidate) == (DUE, N1, N2)
    again = there.switchover(DUE + 1, N1, None)
    assert again.state is ScheduleState.TAKEN
    assert "raftha flush" in again.message
    assert there.cancel_switchover().state is ScheduleState.CANCELLED, "any node, a witness too"
    assert here.cancel_switchover().state is ScheduleState.ABSENT
    assert store.cluster.scheduled_switchover is None


def test_restarts_are_kept_by_member() -> None:
    store = FakeScheduleStore()
    plan = restart(role="primary", postgres_version="15.19", restart_pending=True)

    assert schedules(store).restart(plan).state is ScheduleState.SCHEDULED
    assert schedules(store, N2).restart(restart(N2)).state is ScheduleState.SCHEDULED
    assert set(store.cluster.scheduled_restarts) == {N1, N2}
    assert store.cluster.scheduled_restarts[N1].postgres_version == "15.19"
    assert schedules(store).restart(restart()).state is ScheduleState.TAKEN
    assert schedules(store, N3).cancel_restart(N1).state is ScheduleState.CANCELLED
    assert schedules(store).cancel_restart(N1).state is ScheduleState.ABSENT
    assert set(store.cluster.scheduled_restarts) == {N2}


def rewrite(store: FakeScheduleStore, **more: Any) -> None:
    """The member writes what became of the restart of n1."""
    key = KEYS.scheduled_restart_of(N1)
    entry = store.peek().entries.get(key)
    guard = KeyAbsent(key) if entry is None else KeyAt(key, entry.mod_revision)
    put = Put(key, encode({"due": DUE, "member": "n1", **more}))
    store.execute(Transact((guard,), (put,)), timeout=Seconds(1.0))


def test_what_was_dropped_makes_room_and_what_has_begun_goes_on() -> None:
    store = FakeScheduleStore()
    rewrite(store, process="5@5")
    assert schedules(store).cancel_restart(N1).state is ScheduleState.REFUSED
    rewrite(store, process="5@5", refused="it did not end")
    assert schedules(store).restart(restart()).state is ScheduleState.SCHEDULED
    rewrite(store, refused="too late")
    assert schedules(store).cancel_restart(N1).state is ScheduleState.CANCELLED


def test_what_cannot_be_read_is_not_overwritten() -> None:
    store = FakeScheduleStore()
    rewrite(store, due="soon")
    told = schedules(store).restart(restart())
    assert told.state is ScheduleState.REFUSED
    assert "cannot be read" in told.message


@pytest.mark.parametrize(
    ("here", "plan", "words"),
    [
        ({}, restart(N2), "this is n1, not n2"),
        ({"witness": True}, restart(), "is a witness"),
    ],
)
def test_a_restart_that_cannot_be_is_refused(
    here: dict[str, Any], plan: ScheduledRestart, words: str
) -> None:
    store = FakeScheduleStore()
    told = schedules(store, **here).restart(plan)
    assert told.state is ScheduleState.REFUSED
    assert words in told.message
    assert store.cluster.scheduled_restarts == {}


def test_nothing_is_scheduled_in_a_pause_or_without_a_majority() -> None:
    cut_off = FakeScheduleStore()
    cut_off.majority = False
    for store, words in (
        (FakeScheduleStore(paused=True), "maintenance pause"),
        (cut_off, "no majority"),
    ):
        for told in (
            schedules(store).switchover(DUE, N1, N2),
            schedules(store).restart(restart()),
        ):
            assert told.state is ScheduleState.REFUSED
            assert words in told.message
        assert store.cluster.scheduled_switchover is None


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (StoreUnavailable("x"), ScheduleState.REFUSED),
        (OutcomeUnknown("x"), ScheduleState.UNKNOWN),
    ],
)
def test_the_end_of_the_write_is_told_as_it_is(error: RafthaError, state: ScheduleState) -> None:
    store = FakeScheduleStore()
    store.error = error
    assert schedules(store).switchover(DUE, N1, N2).state is state


def test_whoever_comes_second_is_told_so() -> None:
    store = FakeScheduleStore()

    class Slow(Schedules):
        """Looks, and is overtaken before it writes."""

        def _write(self, *given: Any) -> Any:
            schedules(store, N2).switchover(DUE, N1, None)
            return super()._write(*given)

    slow = schedules(store)
    slow.__class__ = Slow
    told = slow.switchover(DUE, N1, N2)
    assert told.state is ScheduleState.TAKEN
    plan = store.cluster.scheduled_switchover
    assert plan is not None
    assert plan.candidate is None
