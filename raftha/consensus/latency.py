"""How long syncs took in the last minute (PURE): a histogram that costs nothing to keep.

The raft thread adds, any thread asks. Buckets grow by the square root of two, so a quantile is told
as at most 1.42 times what it was; the longest is exact.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from msgspec import Struct, field

from raftha.instants import Seconds
from raftha.model.store import SLOW_FSYNC_S, FsyncTimes

WINDOW_S: Final = 60.0
_SLOT_S: Final = 5.0
_SHORTEST_S: Final = 1e-4
_STEPS: Final = 2
"""Buckets for each doubling."""
_BUCKETS: Final = 36
"""Up to 26 s; the last one holds whatever took longer."""


class _Slot(Struct):
    """What happened within a few seconds."""

    begin: float
    counts: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    longest: float = 0.0
    slow: int = 0


class SyncClock:
    """Keeps the durations of the last minute, to within one slot."""

    def __init__(self) -> None:
        self._slots: deque[_Slot] = deque(maxlen=round(WINDOW_S / _SLOT_S))
        self._last = Seconds(0.0)

    def add(self, now: float, seconds: float) -> None:
        """A sync that ended at `now`, in seconds of a steady clock, took so long."""
        if not self._slots or now - self._slots[-1].begin >= _SLOT_S:
            self._slots.append(_Slot(now))
        slot = self._slots[-1]
        slot.counts[_bucket(seconds)] += 1
        slot.longest = max(slot.longest, seconds)
        slot.slow += seconds > SLOW_FSYNC_S
        self._last = Seconds(seconds)

    def times(self, now: float) -> FsyncTimes:
        """The last one, and the last minute's."""
        recent = [slot for slot in tuple(self._slots) if now - slot.begin < WINDOW_S]
        totals = [sum(counts) for counts in zip(*(slot.counts for slot in recent), strict=True)]
        longest = max((slot.longest for slot in recent), default=0.0)
        return FsyncTimes(
            last=self._last,
            p99=Seconds(min(_quantile(totals, 0.99), longest)),
            longest=Seconds(longest),
            count=sum(totals),
            slow=sum(slot.slow for slot in recent),
        )


def _bucket(seconds: float) -> int:
    if seconds <= _SHORTEST_S:
        return 0
    return min(_BUCKETS - 1, math.ceil(math.log2(seconds / _SHORTEST_S) * _STEPS))


def _quantile(totals: list[int], share: float) -> float:
    """The upper end of the bucket that the quantile falls into."""
    wanted = share * sum(totals)
    seen = 0
    for number, count in enumerate(totals):
        seen += count
        if count and seen >= wanted:
            return float("inf") if number == _BUCKETS - 1 else _SHORTEST_S * 2 ** (number / _STEPS)
    return 0.0
