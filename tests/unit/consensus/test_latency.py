"""What is told of the disk's syncs: the last one, and the last minute's."""

from __future__ import annotations

import pytest

from raftha.consensus.latency import WINDOW_S, SyncClock
from raftha.model.store import FsyncTimes


def test_before_the_first_sync_there_is_nothing_to_tell() -> None:
    assert SyncClock().times(5.0) == FsyncTimes()


def test_one_slow_sync_in_fifty_shows_in_the_99th_percentile_and_one_in_a_thousand_does_not() -> (
    None
):
    often, seldom = SyncClock(), SyncClock()
    for number in range(1000):
        often.add(100.0, 0.25 if number % 50 == 7 else 0.0008)
        seldom.add(100.0, 0.25 if number == 7 else 0.0008)

    assert 0.25 <= often.times(100.0).p99 <= 0.25 * 1.42
    assert 0.0008 <= seldom.times(100.0).p99 <= 0.0008 * 1.42
    assert often.times(100.0).longest == seldom.times(100.0).longest == 0.25
    assert seldom.times(100.0).last == 0.0008
    assert seldom.times(100.0).count == 1000
    assert (often.times(100.0).slow, seldom.times(100.0).slow) == (20, 1)


@pytest.mark.parametrize("seconds", [1e-6, 0.0001, 0.003, 0.7, 19.0, 100.0])
def test_a_quantile_is_never_told_longer_than_the_longest(seconds: float) -> None:
    clock = SyncClock()
    clock.add(1.0, seconds)

    assert clock.times(1.0).p99 == clock.times(1.0).longest == seconds


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    clock = SyncClock()
    clock.add(0.0, 2.0)
    for second in range(1, 50):
        clock.add(float(second), 0.001)

    assert clock.times(WINDOW_S - 1).longest == 2.0
    assert clock.times(WINDOW_S + 1).longest == 0.001
    assert (clock.times(WINDOW_S - 1).slow, clock.times(WINDOW_S + 1).slow) == (1, 0)
    assert clock.times(10 * WINDOW_S).count == 0
    assert clock.times(10 * WINDOW_S).last == 0.001
