"""Instants of this host, and the two ways to measure time between them.

A kernel clock may run fast or slow: chrony slews by up to 8 %, and CLOCK_BOOTTIME follows it.
CLOCK_MONOTONIC_RAW is not slewed but stands still while the host is suspended. So whoever must not
be late counts on a third, the steady clock: CLOCK_MONOTONIC_RAW and the time spent suspended, which
is what CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC. It takes the larger of what that one and
CLOCK_BOOTTIME say has passed; whoever must not be early takes the smaller of what the first two
say. What remains are the oscillators' own errors, which `RHO` bounds, and for a holder that of the
time suspended: the kernel has it from the machine's clock chip, often in whole seconds.

Instants of two hosts, or of two boots of one host, must never be compared.
"""

from __future__ import annotations

from typing import Final, NewType

from msgspec import Struct

Seconds = NewType("Seconds", float)

RHO: Final = 0.01
"""Bound of the relative rate error between the clocks of two hosts (oscillators: below 0.02 %)."""


_DAY_S: Final = 86400.0


class Instant(Struct, frozen=True):
    """A reading of CLOCK_BOOTTIME and CLOCK_MONOTONIC_RAW, in seconds since boot; `slept` is the
    part that the host was suspended, as exact as the clocks were read at one moment."""

    boot: float
    raw: float
    slept: float = 0.0

    @property
    def steady(self) -> float:
        """Seconds since boot on the clock that is neither slewed nor stopped by a suspend."""
        return self.raw + self.slept

    def plus(self, seconds: float) -> Instant:
        """The instant that lies so many seconds later on every clock."""
        return Instant(self.boot + seconds, self.raw + seconds, self.slept)


def longest(since: Instant, until: Instant) -> Seconds:
    """Elapsed time for whoever must not be late (a lease holder, a guardian)."""
    return Seconds(max(until.boot - since.boot, until.steady - since.steady))


def shortest(since: Instant, until: Instant) -> Seconds:
    """Elapsed time for whoever must not be early (the one who expires a lease). A suspend does not
    count: its length is not known exactly, and too long a one would end a lease too early."""
    return Seconds(min(until.boot - since.boot, until.raw - since.raw))


def remaining(deadline: Instant, now: Instant) -> Seconds:
    """Time left for a holder: never more than what either clock leaves; negative once past."""
    return Seconds(min(deadline.boot - now.boot, deadline.steady - now.steady))


def in_days(seconds: float) -> str:
    """A long time in words, as whole days."""
    days = int(seconds // _DAY_S)
    return f"{days} day{'' if days == 1 else 's'}" if days else "less than a day"
