"""Instants of this host, and the two ways to measure time between them.

A kernel clock may run fast or slow: chrony slews by up to 8 %, and CLOCK_BOOTTIME follows it. So an
instant is read on two clocks, and whoever must not be late takes the larger of the two elapsed
times while whoever must not be early takes the smaller. The remaining error is the oscillators'
own, which `RHO` bounds.

Instants of two hosts, or of two boots of one host, must never be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NewType

Seconds = NewType("Seconds", float)

RHO: Final = 0.01
"""Bound of the relative rate error between the clocks of two hosts (oscillators: below 0.02 %)."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A reading of CLOCK_BOOTTIME and CLOCK_MONOTONIC_RAW, in seconds since boot."""

    boot: float
    raw: float

    def plus(self, seconds: float) -> Instant:
        """The instant that lies so many seconds later on both clocks."""
        return Instant(self.boot + seconds, self.raw + seconds)


def longest(since: Instant, until: Instant) -> Seconds:
    """Elapsed time for whoever must not be late (a lease holder, a guardian)."""
    return Seconds(max(until.boot - since.boot, until.raw - since.raw))


def shortest(since: Instant, until: Instant) -> Seconds:
    """Elapsed time for whoever must not be early (the one who expires a lease)."""
    return Seconds(min(until.boot - since.boot, until.raw - since.raw))


def remaining(deadline: Instant, now: Instant) -> Seconds:
    """Time left for a holder: never more than what either clock leaves; negative once past."""
    return Seconds(min(deadline.boot - now.boot, deadline.raw - now.raw))
