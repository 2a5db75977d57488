"""The only source of time in the product. The time of day decides nothing but when something that
an operator scheduled is begun."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from raftha.instants import Instant


class Clock(Protocol):
    """Reads the clocks of this host."""

    def now(self) -> Instant:
        """The present instant, on all clocks."""

    def raw(self) -> float:
        """Seconds on the clock that nobody slews: for time-outs, cheaper than an instant."""

    def wall(self) -> float:
        """Unix time in seconds: for people to read, and for what they want done at a time."""


class SystemClock:
    """The clocks of Linux, read one after the other; `gettime` reads one of them.

    The order is a rule: whatever happens between the reads, a suspend too, no clock then shows more
    than it does when the reading is over, so a lease that begins with it ends no later for that.
    """

    def __init__(self, gettime: Callable[[int], float] = time.clock_gettime) -> None:
        self._gettime = gettime

    def now(self) -> Instant:
        boot = self._gettime(time.CLOCK_BOOTTIME)
        slept = boot - self._gettime(time.CLOCK_MONOTONIC)
        return Instant(boot, self._gettime(time.CLOCK_MONOTONIC_RAW), slept)

    def raw(self) -> float:
        return self._gettime(time.CLOCK_MONOTONIC_RAW)

    def wall(self) -> float:
        return time.time()
