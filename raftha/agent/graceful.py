"""Stops the server in order, after the operator's `before_stop`, which runs beside the loop.

A stop at once, and the guardian's fence, know nothing of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from raftha import threads
from raftha.agent import programs
from raftha.agent.guarding import Guarding
from raftha.clock import Clock
from raftha.errors import GuardianError
from raftha.guardian.events import StopMode
from raftha.instants import Seconds
from raftha.logs import event
from raftha.model.hooks import Hooks

LOG = logging.getLogger(__name__)

BEFORE_STOP_S = Seconds(30.0)
"""Half of the time after which a stop in order becomes one at once (`ha.rules.handover`)."""


class GracefulStop:
    """Used by the loop's thread alone."""

    def __init__(
        self, *, hooks: Callable[[], Hooks], guarding: Guarding, output: Path, clock: Clock
    ) -> None:
        self._hooks = hooks
        self._guarding = guarding
        self._output = output
        self._clock = clock
        self._prepared = ""

    def stop(self, process: str) -> None:
        """Have this server process stopped; a program runs first, if there is one. Raises
        GuardianError where there is none."""
        words = self._hooks().before_stop
        if not words:
            self._guarding.stop(StopMode.FAST)
            return
        if self._prepared == process:
            return  # under way already
        try:
            threads.begin(lambda: self._prepare(words, process), "before-stop")
        except OSError as error:
            event(LOG, logging.ERROR, "before_stop was not run", why=str(error))
            self._guarding.stop(StopMode.FAST)
        else:
            self._prepared = process

    def _prepare(self, words: Sequence[str], process: str) -> None:
        status: object
        try:
            status = programs.run(words, self._output, self._clock, BEFORE_STOP_S)
        except OSError as error:
            status = error
        level = logging.INFO if status == 0 else logging.WARNING
        event(LOG, level, "before_stop ended", status="killed" if status is None else str(status))
        try:
            if self._guarding.view().process == process:
                self._guarding.stop(StopMode.FAST)
        except GuardianError as error:
            event(LOG, logging.ERROR, "the server was not stopped", why=str(error))
