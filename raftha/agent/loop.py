"""The loop: observe, decide, record, perform. It wakes on events, and at least each `loop_wait`.

Nothing here decides. While things change it looks again soon; while nothing does, or the same acts
fail again and again, its pauses grow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from raftha.agent.board import Board
from raftha.agent.chronicle import gist
from raftha.agent.effects import Effects
from raftha.agent.recorder import Recorder
from raftha.clock import Clock
from raftha.ha.actions import Action, AdvanceSlots, AskPeers, Promote, RousePostmaster
from raftha.ha.decide import decide
from raftha.ha.keys import Keys
from raftha.ha.memory import Memory
from raftha.ha.table import Decision
from raftha.instants import Seconds, longest, remaining
from raftha.logs import event
from raftha.model.view import View

LOG = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 0.05
GROWTH: Final = 1.3
"""Pause between two ticks without any event: from the first, growing, up to `loop_wait`."""


class Loop:
    """`observe` gathers a view; `publish` makes what was seen and decided known to the outside.
    `ticked` is told how long each round took."""

    def __init__(
        self,
        *,
        board: Board,
        clock: Clock,
        keys: Keys,
        observe: Callable[[], View],
        effects: Effects,
        recorder: Recorder,
        publish: Callable[[View, Decision], None],
        ticked: Callable[[float], object] = lambda _seconds: None,
    ) -> None:
        self._board = board
        self._clock = clock
        self._keys = keys
        self._observe = observe
        self._effects = effects
        self._recorder = recorder
        self._publish = publish
        self._ticked = ticked
        self._pause = FIRST_PAUSE_S
        self._failed: list[Action] = []
        self._said = ""

    def run(self) -> None:
        """Tick until the agent has ended."""
        while not self._effects.ended:
            begun = self._clock.now()
            view = self.tick()
            self._ticked(longest(begun, self._clock.now()))
            self._board.woken.wait(self.rest(view))
            self.rested()

    def tick(self) -> View:
        """One round; the view that it looked at."""
        self._board.woken.clear()
        if self._board.reloaded.is_set():
            # Somebody may just have corrected what failed; and every file is written anew.
            self._board.reloaded.clear()
            self._board.memory = replace(
                self._board.memory, plan=None, retry_at=None, started_at=None
            )
        view = self._observe()
        decision = decide(view, self._board.memory, self._keys)
        self._say(decision)
        self._recorder.record(view, decision)
        is_quiet = _is_quiet(decision, self._board.memory)
        self._board.memory = decision.memory
        is_stuck = self._perform(decision, view)
        # What is published speaks of a configuration only once it was written.
        self._publish(view, replace(decision, memory=self._board.memory))
        self._effects.settle(view.cluster.config.retry_timeout)
        self._effects.bound_log()
        self._board.last_tick = self._clock.now()
        longest_pause = view.cluster.config.loop_wait
        is_slow = is_quiet or is_stuck
        self._pause = min(self._pause * GROWTH, longest_pause) if is_slow else FIRST_PAUSE_S
        return view

    def _perform(self, decision: Decision, view: View) -> bool:
        """Attempt what was decided. True if something failed that failed in the round before."""
        failed = [a for a in decision.actions if not self._effects.perform(a, view.cluster)]
        for action in failed:
            self._board.memory = _undone(self._board.memory, action)
        before, self._failed = self._failed, failed
        return bool(failed) and failed == before

    def rest(self, view: View) -> Seconds:
        """How long to rest after this round, unless something happens: the end of the lease that
        is held does."""
        rest = min(self._pause, view.cluster.config.loop_wait)
        if view.lease is not None:
            left = remaining(view.lease.valid_until, self._clock.now())
            rest = min(rest, left) if left > 0 else rest
        return Seconds(rest)

    def rested(self) -> None:
        """The rest is over: after news, the next one is short again."""
        if self._board.hurried.is_set():
            self._board.hurried.clear()
            self._pause = FIRST_PAUSE_S

    def _say(self, decision: Decision) -> None:
        """One line when the decision changes; a reason that differs in its figures alone is not
        news."""
        words = gist(decision)
        if words != self._said:
            self._said = words
            event(LOG, logging.INFO, decision.reason, rule=decision.rule)


_ROUTINE: Final = (AdvanceSlots, AskPeers, RousePostmaster)
"""What goes on for as long as the cluster does something is no reason to look again at once: the
answers of peers wake the loop, slots are moved on with the leader's renewals."""


def _is_quiet(decision: Decision, before: Memory) -> bool:
    """Nothing is done or awaited but the routine, and nothing changed but the leader's renewal,
    which comes with each heartbeat."""
    acts = [each for each in decision.actions if not isinstance(each, _ROUTINE)]
    if acts or decision.memory.is_settling:
        return False
    after = replace(decision.memory, leader_seen=None, served=None)
    return after == replace(before, leader_seen=None, served=None)


def _undone(memory: Memory, action: Action) -> Memory:
    """What was noted about an act that failed is not so: it is decided anew."""
    promoted = None if isinstance(action, Promote) else memory.promoted
    return replace(memory, plan=None, stop=None, promoted=promoted)
