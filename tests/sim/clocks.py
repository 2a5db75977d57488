"""Time in the simulation: the world's own, and what each host's clocks make of it."""

from __future__ import annotations

from msgspec import Struct

from raftha.instants import Instant


class TrueTime(Struct):
    """The time of the world, in seconds, which no node can read."""

    now: float = 1000.0


class FakeClock:
    """A host's clocks: each runs at a rate of its own, may change it, and began at its own moment.

    A rate is local seconds in a true one: chrony slews CLOCK_BOOTTIME and not CLOCK_MONOTONIC_RAW.
    While the host is suspended the second stands still, and the first, with the time spent
    suspended, runs at the rate of a clock chip that nobody slews.
    """

    __slots__ = ("_read", "_read_at", "_shown", "_since", "boot_rate", "raw_rate", "sleeps", "time")

    def __init__(
        self,
        time: TrueTime,
        boot_rate: float = 1.0,
        raw_rate: float = 1.0,
        offset: float = 0.0,
    ) -> None:
        self.time = time
        self.boot_rate = boot_rate
        self.raw_rate = raw_rate
        self.sleeps = False
        self._since = 0.0
        self._shown = Instant(offset, offset)
        self._read_at = time.now
        self._read = self.at(time.now)

    def now(self) -> Instant:
        if self.time.now != self._read_at:
            self._read_at = self.time.now
            self._read = self.at(self._read_at)
        return self._read

    def at(self, true_time: float) -> Instant:
        """What the clocks show at a true time after the last change of their rates."""
        shown, passed = self._shown, true_time - self._since
        chip = passed * self.raw_rate
        if self.sleeps:
            return Instant(shown.boot + chip, shown.raw, shown.slept + chip)
        return Instant(shown.boot + passed * self.boot_rate, shown.raw + chip, shown.slept)

    def raw(self) -> float:
        # Asked for most of all, mostly at an instant that was read already.
        return self._read.raw if self.time.now == self._read_at else self.now().raw

    def wall(self) -> float:
        return self.time.now

    def run_at(self, boot_rate: float, raw_rate: float, *, sleeps: bool = False) -> None:
        """From now on the clocks run at these rates, on a host that is suspended or is not."""
        self._shown, self._since = self.now(), self.time.now
        self.boot_rate, self.raw_rate, self.sleeps = boot_rate, raw_rate, sleeps
        self._read_at = -1.0
