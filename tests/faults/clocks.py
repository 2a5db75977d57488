"""Clusters whose nodes have clocks of their own: a copy of the product reads them bent.

CLOCK_BOOTTIME and CLOCK_MONOTONIC of the primary-to-be run at half their rate, as if they were
slewed, and those of the others a tenth too fast; CLOCK_MONOTONIC_RAW, which nobody slews, is as it
is. The time of day of each node is what a file says it is off by.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.faults.planted import NO_STOP, NO_TIMER, PlantedCluster
from tests.faults.stage import BusyCluster
from tests.mutants.mutant import Mutant

SLOW: Final = 0.5
FAST: Final = 1.1
SLEWED: Final = "n1"
"""Whose clock is slow."""

_HERE: Final = "faults/test_clocks.py"
_BENT: Final = (
    "(lambda clock, rate=float(__import__('os').environ['CLOCK_RATE']),"
    " begun=float(__import__('os').environ['CLOCK_BEGUN']):"
    " time.clock_gettime(clock) if clock == time.CLOCK_MONOTONIC_RAW"
    " else begun + (time.clock_gettime(clock) - begun) * rate)"
)
_SLEWED_CLOCKS: Final = tuple(
    Mutant(
        file=file,
        without="the clocks that a kernel slews are as they are",
        text="gettime: Callable[[int], float] = time.clock_gettime",
        instead=f"gettime: Callable[[int], float] = {_BENT}",
        caught_by=_HERE,
    )
    for file in ("clock.py", "guardian/kernel.py")
)
_OTHER_TIME_OF_DAY: Final = Mutant(
    file="clock.py",
    without="the time of day is what it is",
    text="return time.time()",
    instead="return time.time() + float(open(__import__('os').environ['CLOCK_STEP']).read())",
    caught_by=_HERE,
)
ONE_CLOCK: Final = Mutant(
    file="guardian/protocol.py",
    without="R6: a deadline is kept by one clock alone",
    text="return min(kill.boot - now.boot, kill.steady - now.steady)",
    instead="return kill.boot - now.boot",
    caught_by=_HERE,
)


class SlewedCluster(PlantedCluster, BusyCluster):
    """The kernel's timer, which knows nothing of these clocks, is taken out."""

    plants = (*_SLEWED_CLOCKS, NO_TIMER)

    def start(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        rate = SLOW if name == SLEWED else FAST
        # Agent and guardian of a node compare their instants: one origin for all processes.
        own = {"CLOCK_RATE": str(rate), "CLOCK_BEGUN": str(self._begun)}
        super().start(name, {**own, **(environment or {})})

    def write_files(self) -> None:
        self._begun = time.clock_gettime(time.CLOCK_BOOTTIME)
        super().write_files()


class OneClockCluster(SlewedCluster):
    """The same, and the guardian, which alone ends a primary, goes by the slewed clock alone."""

    plants = (*_SLEWED_CLOCKS, NO_TIMER, NO_STOP, ONE_CLOCK)


class SteppedCluster(PlantedCluster):
    """`step` sets the time of day of a node."""

    plants = (_OTHER_TIME_OF_DAY,)

    def start(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        if not self._step_of(name).exists():
            self.step(name, 0.0)
        own = {"CLOCK_STEP": str(self._step_of(name))}
        super().start(name, {**own, **(environment or {})})

    def step(self, name: str, seconds: float) -> None:
        """From now on the time of day there is off by so much."""
        written = self._step_of(name).with_suffix(".new")
        written.write_text(str(seconds))
        os.replace(written, self._step_of(name))

    def _step_of(self, name: str) -> Path:
        return self._folder / f"{name}.step"
