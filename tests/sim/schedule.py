"""The event queue of a simulated world: time jumps from one due event to the next."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from tests.sim.clocks import TrueTime


class Schedule:
    """Events in the order of their true time; equal times in the order in which they were set."""

    def __init__(self, time: TrueTime) -> None:
        self.time = time
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Do this at a true time, in seconds; at once if it has passed."""
        now = self.time.now
        heapq.heappush(self._heap, (when if when > now else now, next(self._number), action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do this so many seconds from now."""
        self.at(self.time.now + seconds, action)

    def run_until(self, end: float) -> None:
        """Let everything happen that is due before a true time."""
        while self.run_one_before(end):
            pass
        self.time.now = end

    def run_one_before(self, end: float) -> bool:
        """Let the next thing happen, if one is due before a true time; whether one was."""
        if not self._heap or self._heap[0][0] >= end:
            return False
        when, _, action = heapq.heappop(self._heap)
        self.time.now = when
        action()
        return True
