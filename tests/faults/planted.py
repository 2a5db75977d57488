"""Clusters whose nodes run a copy of the product with some layers of the fence taken out.

Three layers end a primary whose lease is over: its guardian's loop, the kernel's timer behind that,
and the agent itself. Each hides that another one is late; so each is tried alone.
"""

from __future__ import annotations

import compileall
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final

from tests.faults.nets import NetCluster
from tests.faults.stage import BusyCluster
from tests.integration.harness import ClusterHarness
from tests.integration.processes import Part
from tests.mutants.mutant import ROOT, Mutant, planted

LATE_S: Final = 3.0
"""How late a layer is that is planted to be late: as long as a whole lease."""

_HERE: Final = "faults/test_layers.py"

NO_LOOP: Final = Mutant(
    file="guardian/switch.py",
    without="the guardian ends no primary at its deadline",
    text="return self.is_guarding and protocol.is_due(self._proof, now)",
    instead="return False",
    caught_by=_HERE,
)
LATE_LOOP: Final = Mutant(
    file="guardian/protocol.py",
    without="the guardian is late",
    text="return proof.kill is not None and is_past(proof.kill, now)",
    instead=f"return proof.kill is not None and left_s(proof.kill, now) <= -{LATE_S}",
    caught_by=_HERE,
)
NO_TIMER: Final = Mutant(
    file="guardian/switch.py",
    without="the kernel's timer is not set",
    text="self._dead_man.set(None if kill is None else kill.boot + self._dead_man_s)",
    instead="self._dead_man.set(None)",
    caught_by=_HERE,
)
LATE_TIMER: Final = Mutant(
    file="guardian/switch.py",
    without="the kernel's timer is late",
    text="kill.boot + self._dead_man_s)",
    instead=f"kill.boot + self._dead_man_s + {LATE_S})",
    caught_by=_HERE,
)
NO_STOP: Final = Mutant(
    file="ha/rules/safety.py",
    without="an agent does not stop a primary whose lease is over",
    text="if not (s.running and s.is_primary) or s.lease is not None:",
    instead="if s.running or not s.running:",
    caught_by=_HERE,
)


class PlantedCluster(ClusterHarness):
    """Its nodes run a copy of the product, with these changes."""

    plants: ClassVar[tuple[Mutant, ...]] = ()

    def write_files(self) -> None:
        self._tree = self._folder / "tree"
        shutil.copytree(
            ROOT / "raftha", self._tree / "raftha", ignore=shutil.ignore_patterns("__pycache__")
        )
        for plant in self.plants:
            changed = planted(plant, self._tree)
            (self._tree / "raftha" / plant.file).write_text(changed, encoding="utf-8")
        # Else each agent, and each of its guardians, would do it anew.
        compileall.compile_dir(self._tree, quiet=1)
        super().write_files()

    def start(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        path = os.pathsep.join([str(self._tree), os.environ.get("PYTHONPATH", "")])
        super().start(name, {"PYTHONPATH": path, **(environment or {})})

    def runs_the_copy(self, name: str) -> bool:
        """The guardian of this node is of the changed copy; it is started by the agent there."""
        (guardian,) = self.processes(name, Part.GUARDIAN)
        return any(Path(word).is_relative_to(self._tree) for word in guardian.cmdline())


class LoopAlone(PlantedCluster, BusyCluster):
    """Nothing but the guardian's loop ends a primary."""

    plants = (NO_TIMER, NO_STOP)


class LateLoopAlone(PlantedCluster, BusyCluster):
    """The same, and the loop is late."""

    plants = (LATE_LOOP, NO_TIMER, NO_STOP)


class TimerAlone(PlantedCluster, BusyCluster):
    """Nothing but the kernel's timer ends a primary."""

    plants = (NO_LOOP, NO_STOP)


class LateTimerAlone(PlantedCluster, BusyCluster):
    """The same, and the timer is late."""

    plants = (NO_LOOP, LATE_TIMER, NO_STOP)


class StopAlone(PlantedCluster, NetCluster):
    """Nothing but the agent's own stop ends a primary."""

    plants = (NO_LOOP, NO_TIMER)


class NothingAtAll(PlantedCluster, NetCluster):
    """Nothing ends a primary."""

    plants = (NO_LOOP, NO_TIMER, NO_STOP)
