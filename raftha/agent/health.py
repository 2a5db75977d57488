"""Whether a renewal may go out: the loop makes progress, and PostgreSQL was seen fit to serve.

A primary that cannot serve must lose its lease, or nobody else could take over. A busy server, a
long checkpoint and an absent standby are no reason: the probe waits for none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from raftha.agent.board import Board, Sample
from raftha.agent.observer import HURRY
from raftha.clock import Clock
from raftha.ha.keys import encode_position
from raftha.instants import Seconds, longest
from raftha.model.settings import DynamicConfig

FIRST_LOOK_S: Final = 0.02
LAST_LOOK_S: Final = 0.25
"""Between two looks at a server that starts: the shortest and the longest pause."""


class Health:
    """Reads values that others publish; called from the keeper's and the observer's threads."""

    def __init__(
        self, *, board: Board, clock: Clock, settings: Callable[[], DynamicConfig]
    ) -> None:
        self._board = board
        self._clock = clock
        self._settings = settings

    def hold_back(self) -> str | None:
        """Why a renewal must not go out now; None if it may."""
        now, settings = self._clock.now(), self._settings()
        stood = longest(self._board.last_tick, now)
        if stood > max(settings.primary_health_timeout, 2 * settings.loop_wait):
            return f"the loop has stood still for {stood:.1f} s"
        guardian, sample = self._board.guardian, self._board.sample
        if not (guardian.running and guardian.primary):
            return None
        if sample.process != guardian.process or sample.appeared is None:
            return None
        if sample.answered is None:
            waited = longest(sample.appeared, now)
            if self._recovers() or waited <= settings.primary_start_timeout:
                return None
            return f"PostgreSQL has not answered since its start {waited:.0f} s ago"
        # One that answers is not starting any more, though its disk may never have let it serve.
        silent = longest(sample.probed or sample.answered, now)
        if silent <= settings.primary_health_timeout:
            return None
        what = "was last" if sample.probed is not None else "answers, and has not been"
        return f"PostgreSQL {what} fit to serve {silent:.1f} s ago: {sample.problem}"

    def note(self) -> bytes:
        """What a renewal carries: how far this primary has written, and who has read how far."""
        status = self._board.sample.status
        if status is None or not status.is_primary or status.written is None:
            return b""
        return encode_position(status.timeline, status.written, status.slot_states)

    def pace(self) -> Seconds:
        """How soon to look at PostgreSQL again."""
        guardian, sample, memory = self._board.guardian, self._board.sample, self._board.memory
        settings = self._settings()
        if not guardian.running or self._recovers():
            return settings.loop_wait
        # Four looks in the time after which a primary that was not seen fit loses its lease.
        often = min(settings.loop_wait, settings.primary_health_timeout / 4)
        at_rest = Seconds(often if guardian.primary else settings.loop_wait)
        status = sample.status
        is_promoting = (
            guardian.primary and status is not None and not status.is_primary and not sample.problem
        )
        attaching = (
            status is not None
            and status.in_recovery
            and memory.plan is not None
            and memory.plan.upstream is not None
            and status.receiver is None
        )
        if status is None:
            return self._starting(sample)
        if is_promoting or memory.is_settling:
            return HURRY
        return Seconds(4 * HURRY) if attaching else at_rest

    def _recovers(self) -> bool:
        """What a bootstrap restored: that may take hours until the first answer, and nobody has
        anything that could be served meanwhile."""
        plan = self._board.memory.plan
        return plan is not None and plan.recovers

    def _starting(self, sample: Sample) -> Seconds:
        """A server that has not answered yet: look again after a tenth of the time it has taken,
        since each look at a long recovery is a line in the server's log."""
        taken = 0.0 if sample.appeared is None else longest(sample.appeared, self._clock.now())
        return Seconds(min(max(FIRST_LOOK_S, taken / 10), LAST_LOOK_S))
