"""Notices that the two clocks of this machine went apart: a suspend, or a slew.

Safety rests on neither (a lease is counted by the faster clock, its expiry by the slower), but a
suspended primary loses its lease, and a clock that is slewed for long shortens every lease.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from raftha.instants import RHO, Instant
from raftha.model.report import Level, Notice

WINDOW_S: Final = 60.0
STEP_S: Final = 5.0
LEAST_S: Final = 0.1
"""What clocks may differ by in a window without a word: they are read one after the other."""


class ClockWatch:
    """Compares BOOTTIME and MONOTONIC_RAW over the last minute. `look` is called now and then, by
    one thread at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._marks: deque[Instant] = deque()

    def look(self, now: Instant) -> tuple[Notice, ...]:
        """The notice, if there is something to tell."""
        if not self._marks or now.raw - self._marks[-1].raw >= STEP_S:
            self._marks.append(now)
        while now.raw - self._marks[0].raw > WINDOW_S:
            self._marks.popleft()
        begin = self._marks[0]
        elapsed = now.raw - begin.raw
        apart = abs((now.boot - begin.boot) - elapsed)
        if apart <= max(LEAST_S, elapsed * RHO):
            return ()
        return (
            Notice(
                subject=self._name,
                what=f"the clocks of this machine went apart by {apart:.1f} s within "
                f"{elapsed:.0f} s: it was suspended, or its clock is being slewed",
                remedy="keep suspend and live migration from database machines, and let chronyc "
                "tracking show a small offset; no lease is longer for it, but some are lost",
                level=Level.WARNING,
            ),
        )
