"""Time in the simulation: the world's own, and what each host's clocks make of it."""

from __future__ import annotations

from dataclasses import dataclass

from raftha.instants import Instant


@dataclass(slots=True)
class TrueTime:
    """The time of the world, in seconds, which no node can read."""

    now: float = 1000.0


class FakeClock:
    """A host's clocks: each runs at a rate of its own, may change it, and began at its own moment.

    `boot_rate` and `raw_rate` are local seconds in a true one: CLOCK_BOOTTIME is slewed by chrony,
    CLOCK_MONOTONIC_RAW is not, and stands still (rate 0) while the host is suspended.
    """

    __slots__ = ("_boot", "_raw", "_read", "_read_at", "_since", "boot_rate", "raw_rate", "time")

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
        self._since = 0.0
        self._boot = self._raw = offset
        self._read_at = time.now
        self._read = self.at(time.now)

    def now(self) -> Instant:
        if self.time.now != self._read_at:
            self._read_at = self.time.now
            self._read = self.at(self._read_at)
        return self._read

    def at(self, true_time: float) -> Instant:
        """What the clocks show at a true time after the last change of their rates."""
        passed = true_time - self._since
        return Instant(self._boot + passed * self.boot_rate, self._raw + passed * self.raw_rate)

    def wall(self) -> float:
        return self.time.now

    def run_at(self, boot_rate: float, raw_rate: float) -> None:
        """From now on the clocks run at these rates."""
        present = self.now()
        self._boot, self._raw, self._since = present.boot, present.raw, self.time.now
        self.boot_rate, self.raw_rate = boot_rate, raw_rate
        self._read_at = -1.0
