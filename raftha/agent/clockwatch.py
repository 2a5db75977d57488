"""Notices that this machine was suspended, or that its clock is being slewed.

Safety rests on neither (a lease is counted by the faster clock, its expiry by the slower), but a
suspended primary loses its lease, and a clock that is slewed for long shortens every lease.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from raftha.instants import RHO, Instant
from raftha.model.report import Level, Notice
from raftha.model.trouble import Trouble

WINDOW_S: Final = 60.0
STEP_S: Final = 5.0
LEAST_S: Final = 0.1
"""What clocks may differ by in a window without a word: they are read one after the other."""


class ClockWatch:
    """Compares the clocks of this host over the last minute. `look` is called now and then, by one
    thread at a time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._marks: deque[Instant] = deque()

    def look(self, now: Instant) -> tuple[Notice, ...]:
        """The notices, if there is something to tell."""
        if not self._marks or now.raw - self._marks[-1].raw >= STEP_S:
            self._marks.append(now)
        while now.raw - self._marks[0].raw > WINDOW_S:
            self._marks.popleft()
        begin = self._marks[0]
        elapsed = now.raw - begin.raw
        slept = now.slept - begin.slept
        slewed = (now.boot - begin.boot) - (now.steady - begin.steady)
        notices = []
        if slept > LEAST_S:
            notices.append(self._suspended(slept))
        if abs(slewed) > max(LEAST_S, elapsed * RHO):
            notices.append(self._slewed(slewed, elapsed))
        return tuple(notices)

    def _suspended(self, slept: float) -> Notice:
        return Notice(
            code=Trouble.SUSPENDED,
            subject=self._name,
            what=f"this machine was suspended for {slept:.1f} s in the last minute",
            remedy="keep suspend and live migration from database machines: a primary loses its "
            "lease by it",
            level=Level.WARNING,
        )

    def _slewed(self, slewed: float, elapsed: float) -> Notice:
        return Notice(
            code=Trouble.SLEWED,
            subject=self._name,
            what=f"the clock of this machine is being slewed: {slewed:+.1f} s within "
            f"{elapsed:.0f} s",
            remedy="let chronyc tracking show a small offset; no lease is longer for it, but all "
            "may be shorter",
            level=Level.WARNING,
        )
