"""The only source of time in the product. `time.time()` decides nothing anywhere."""

from __future__ import annotations

import time
from typing import Protocol

from raftha.instants import Instant


class Clock(Protocol):
    """Reads the clocks of this host."""

    def now(self) -> Instant:
        """The present instant, on both clocks."""

    def wall(self) -> float:
        """Unix time in seconds: for people to read, never for a decision."""


class SystemClock:
    """CLOCK_BOOTTIME counts a suspend, CLOCK_MONOTONIC_RAW is not slewed: each covers the other."""

    def now(self) -> Instant:
        return Instant(
            time.clock_gettime(time.CLOCK_BOOTTIME), time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
        )

    def wall(self) -> float:
        return time.time()
