"""Elapsed time on three clocks: who must not be late takes the larger, who must not be early the
smaller (R6)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from typing import Final, Protocol

import pytest

from raftha.clock import SystemClock
from raftha.guardian import kernel
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
    woken = Instant(START.boot + 3600.0, START.raw + 1.0, 3599.0)

    assert longest(START, woken) == 3600.0
    assert remaining(START.plus(30.0), woken) < 0
    assert shortest(START, woken) == 1.0


def test_a_suspend_of_a_slewed_host_counts_whole_for_whoever_must_not_be_late() -> None:
    """CLOCK_BOOTTIME lost a tenth of the 6 s awake and CLOCK_MONOTONIC_RAW the 4 s of the suspend:
    neither saw all of the 10 s."""
    woken = Instant(START.boot + 9.4, START.raw + 6.0, 4.0)

    assert longest(START, woken) == pytest.approx(10.0)
    assert remaining(START.plus(9.9), woken) == pytest.approx(-0.1)
    assert shortest(START, woken) == 6.0


class Shown(Protocol):
    """What both kinds of reading have: the agent's and the guardian's."""

    @property
    def boot(self) -> float: ...
    @property
    def raw(self) -> float: ...
    @property
    def steady(self) -> float: ...


READERS: Final[list[Callable[[Callable[[int], float]], Shown]]] = [
    lambda gettime: SystemClock(gettime).now(),
    kernel.read_clocks,
]


class Kernel:
    """The clocks of a host on which something happens after each read: it waits, awake and then
    suspended, for so many seconds. `slew` is what CLOCK_BOOTTIME gains in a second awake."""

    def __init__(self, between: Iterator[tuple[float, float]], slew: float) -> None:
        self.between = between
        self.slew = slew
        self.awake = 1000.0
        self.asleep = 100.0

    def gettime(self, clock: int) -> float:
        monotonic = self.awake + (self.awake - 1000.0) * self.slew
        shown = {
            time.CLOCK_BOOTTIME: monotonic + self.asleep,
            time.CLOCK_MONOTONIC: monotonic,
            time.CLOCK_MONOTONIC_RAW: self.awake,
        }[clock]
        awake, asleep = next(self.between)
        self.awake += awake
        self.asleep += asleep
        return shown

    @property
    def steady(self) -> float:
        """The time that has passed in truth."""
        return self.awake + self.asleep


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("slew", [-0.1, 0.0, 0.1])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("gap", [(3.0, 0.0), (0.0, 3.0), (2.0, 5.0)])
def test_a_reading_that_takes_long_shows_no_more_than_it_is_when_it_is_over(
    read: Callable[[Callable[[int], float]], Shown],
    slew: float,
    place: int,
    gap: tuple[float, float],
) -> None:
    """Else a lease counted from it would be believed in for too long. It shows no less than when it
    began either, but for what the clock was slewed in between: a check is as old as its reading."""
    still = (0.0, 0.0)
    host = Kernel(chain([*[still] * place, gap], repeat(still)), slew)
    began = host.steady
    shown = read(host.gettime)

    over = read(host.gettime)
    assert began - 0.1 * gap[0] - 1e-9 <= shown.steady <= host.steady + 1e-9
    assert (shown.boot, shown.raw) <= (over.boot, over.raw)


@pytest.mark.parametrize("read", READERS)
def test_the_clocks_of_this_host_are_read(
    read: Callable[[Callable[[int], float]], Shown],
) -> None:
    before = read(time.clock_gettime)
    ahead = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    after = read(time.clock_gettime)

    assert before.boot <= after.boot
    assert before.steady <= after.steady
    assert after.steady - after.raw == pytest.approx(ahead, abs=0.05)
