"""The operator's word that stops and starts the cluster: written once, and told as it ended."""

from __future__ import annotations

import pytest

from raftha.agent.pauses import Pauses
from raftha.errors import OutcomeUnknown, RafthaError, StoreUnavailable
from raftha.ha.halting import WORDS
from raftha.instants import Seconds
from raftha.model.operation import OperationState
from tests.unit.api.fake_schedules import KEYS, FakeScheduleStore, halts


def test_the_word_is_in_the_store_until_it_is_taken_back() -> None:
    store = FakeScheduleStore()
    assert halts(store).change(halts=True).state is OperationState.DONE
    halt = store.cluster.halt
    assert halt is not None
    assert halt.by == "n1"
    assert halts(store).change(halts=True).state is OperationState.REFUSED
    assert halts(store).change(halts=False).state is OperationState.DONE
    assert store.cluster.halt is None
    assert halts(store).change(halts=False).state is OperationState.REFUSED


def test_not_in_a_pause_and_not_without_a_majority() -> None:
    cut_off = FakeScheduleStore()
    cut_off.majority = False
    for store, words in ((FakeScheduleStore(paused=True), "pause"), (cut_off, "no majority")):
        told = halts(store).change(halts=True)
        assert (told.state, words in told.message) == (OperationState.REFUSED, True)
        assert store.cluster.halt is None


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (StoreUnavailable("x"), OperationState.REFUSED),
        (OutcomeUnknown("x"), OperationState.UNKNOWN),
    ],
)
def test_the_end_of_the_write_is_told_as_it_is(error: RafthaError, state: OperationState) -> None:
    store = FakeScheduleStore()
    store.error = error
    assert halts(store).change(halts=True).state is state


def test_no_pause_begins_while_the_cluster_is_stopped() -> None:
    store = FakeScheduleStore()
    halts(store).change(halts=True)
    pauses = Pauses(store=store, keys=KEYS, timeout=lambda: Seconds(1.0))
    told = pauses.change(paused=True)
    assert (told.state, told.message) == (OperationState.REFUSED, WORDS)
    assert not store.cluster.paused
