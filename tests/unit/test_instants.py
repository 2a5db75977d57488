"""Elapsed time on two clocks: who must not be late takes the larger, who must not be early the
smaller (R6)."""

from __future__ import annotations

import pytest

from raftha.instants import Instant, longest, remaining, shortest

START = Instant(1000.0, 50.0)
SLEWED = [
    (Instant(1005.4, 55.0), "CLOCK_BOOTTIME runs fast"),
    (Instant(1005.0, 55.4), "CLOCK_BOOTTIME runs slow"),
]


@pytest.mark.parametrize(("now", "_"), SLEWED)
def test_whoever_must_not_be_late_counts_on_the_faster_clock(now: Instant, _: str) -> None:
    assert longest(START, now) == pytest.approx(5.4)
    assert remaining(START.plus(6.0), now) == pytest.approx(0.6)


@pytest.mark.parametrize(("now", "_"), SLEWED)
def test_whoever_must_not_be_early_counts_on_the_slower_clock(now: Instant, _: str) -> None:
    assert shortest(START, now) == pytest.approx(5.0)


def test_a_suspend_counts_for_whoever_must_not_be_late() -> None:
    """CLOCK_MONOTONIC_RAW stands still in a suspend, CLOCK_BOOTTIME goes on."""
    woken = Instant(START.boot + 3600.0, START.raw + 1.0)

    assert longest(START, woken) == 3600.0
    assert remaining(START.plus(30.0), woken) < 0
    assert shortest(START, woken) == 1.0
