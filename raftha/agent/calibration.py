"""Measures, once the agent has settled, how long a fence takes on this machine.

A fence that outlasts `fence_budget` outlasts the lease, and the first real one is a bad moment to
find that out. A program beside the guardian ends children of its own (`guardian/calibrate.py`).
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from raftha.agent.guarding import NEARLY_ALL
from raftha.guardian import calibrate
from raftha.instants import Seconds
from raftha.logs import event

LOG = logging.getLogger(__name__)

SETTLED: Final = Seconds(60.0)
"""After the start: a machine that starts everything at once would be measured at its worst."""
TIMEOUT: Final = Seconds(20.0)


class Calibration:
    """`run` has a thread of its own; `measure` tells the seconds, or raises OSError."""

    def __init__(
        self,
        fence_budget: Callable[[], Seconds],
        measure: Callable[[], Seconds] | None = None,
        settled: Seconds = SETTLED,
    ) -> None:
        self._fence_budget = fence_budget
        self._measure = measure or _measured
        self._settled = settled

    def run(self, ended: threading.Event) -> None:
        """Measure once, and say what came of it."""
        if ended.wait(self._settled):
            return
        try:
            took = self._measure()
        except OSError as error:
            event(LOG, logging.WARNING, "a fence could not be measured", why=str(error))
            return
        budget = self._fence_budget()
        is_close = took > NEARLY_ALL * budget
        words = "a fence of this machine takes most of its budget: raise fence_budget, and ttl"
        event(
            LOG,
            logging.WARNING if is_close else logging.INFO,
            words if is_close else "a fence was measured",
            seconds=round(took, 3),
            processes=calibrate.CHILDREN,
            fence_budget=budget,
        )


def _measured() -> Seconds:
    program = str(Path(calibrate.__file__).resolve())
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", program],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.SubprocessError as error:
        raise OSError(str(error)) from error
    if done.returncode:
        raise OSError(done.stderr.strip() or f"{program} ended with {done.returncode}")
    try:
        return Seconds(float(done.stdout))
    except ValueError as error:
        raise OSError(f"{program} said {done.stdout!r:.80}") from error
