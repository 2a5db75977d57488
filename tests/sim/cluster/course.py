"""When the faults of a plan strike: at their time, or at a moment that they wait for from then on.

Once the cluster has got over all that struck, nothing is to be seen until the next: the rest of the
plan can be brought forward.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from tests.sim.cluster.faults import Moment, Trouble
from tests.sim.schedule import Schedule

LATER_S: Final = 0.02
"""How long after its moment a fault strikes, at most."""
PATIENCE_S: Final = 10.0
"""A fault that waits for its moment strikes anyway after this time."""


class Course:
    """`strike` is called with each fault, and with the name of the node where its moment came, if
    it waited for one."""

    def __init__(self, schedule: Schedule, strike: Callable[[Trouble, str | None], None]) -> None:
        self._schedule = schedule
        self._strike = strike
        self._begun = 0.0
        self._due = 0.0
        self._left: deque[Trouble] = deque()
        self._waiting: list[Trouble] = []
        self._lasts_until = 0.0

    def begin(self, plan: Sequence[Trouble]) -> None:
        """Let the plan take its course, from now on."""
        self._begun = self._schedule.time.now
        self._left.extend(sorted(plan, key=lambda trouble: trouble.at))
        self._plan_next()

    def happened(self, moment: Moment, name: str) -> None:
        """A moment that faults may wait for, on this node; they strike a little later."""
        for trouble in [trouble for trouble in self._waiting if trouble.moment is moment]:
            self._waiting.remove(trouble)
            after = trouble.strength * LATER_S
            self._lasts(trouble, after)
            self._schedule.after(after, partial(self._strike, trouble, name))

    @property
    def is_quiet(self) -> bool:
        """Nothing that has struck lasts, and nothing waits for its moment."""
        return not self._waiting and self._schedule.time.now >= self._lasts_until

    def hasten(self, step: float) -> bool:
        """Bring all that is left forward, so that the next strikes within `step` seconds; False if
        nothing is left. By whole steps: else every fault would come at the same phase of a
        heartbeat."""
        if not self._left:
            return False
        steps = (self._due - self._schedule.time.now) // step
        self._begun -= max(0.0, steps) * step
        self._plan_next()
        return True

    def _plan_next(self) -> None:
        if self._left:
            self._due = self._begun + self._left[0].at
            self._schedule.at(self._due, partial(self._ready, self._due))

    def _ready(self, due: float) -> None:
        """Its time has come: strike, or wait for the moment, but not for ever."""
        if due != self._due or not self._left:
            return  # it was brought forward
        trouble = self._left.popleft()
        self._plan_next()
        if trouble.moment is Moment.NOW:
            self._lasts(trouble)
            self._strike(trouble, None)
            return
        self.expect(trouble)

    def expect(self, trouble: Trouble) -> None:
        """Let a fault strike at its moment, from now on."""
        self._waiting.append(trouble)
        self._schedule.after(PATIENCE_S, partial(self._lose_patience, trouble))

    def _lose_patience(self, trouble: Trouble) -> None:
        if trouble in self._waiting:
            self._waiting.remove(trouble)
            self._lasts(trouble)
            self._strike(trouble, None)

    def _lasts(self, trouble: Trouble, after: float = 0.0) -> None:
        end = self._schedule.time.now + after + trouble.duration
        self._lasts_until = max(self._lasts_until, end)
