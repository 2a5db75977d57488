"""The processes of one made-up server: the postmaster and its children, and how they end.

A killed postmaster leaves children behind, which notice it when they have done what they do. An
immediate stop reaches them one after the other; the postmaster ends after the last.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from random import Random

from tests.sim.cluster.fibers import Fibers, Life
from tests.sim.cluster.processes import Machine, Process


class Family:
    """`told` hears each signal that the postmaster takes, `orphaned` that it is gone, a moment
    after it went. Once nobody is left the life of the server ends."""

    def __init__(
        self,
        machine: Machine,
        fibers: Fibers,
        life: Life,
        random: Random,
        *,
        told: Callable[[int], None],
        orphaned: Callable[[], None],
    ) -> None:
        self._machine = machine
        self._fibers = fibers
        self._life = life
        self._random = random
        self._told = told
        self._orphaned = orphaned
        self.is_stopping = False
        self.postmaster = machine.spawn(lambda _, number: told(number), self._postmaster_ended)
        self.children: list[Process] = []
        self.fork()

    def fork(self) -> Process:
        """One more child."""
        child = self._machine.spawn(self._child_told, self._child_ended)
        self.children.append(child)
        return child

    def panic(self) -> None:
        """Whoever writes the WAL aborts."""
        if self.children and not self.is_stopping:
            self.children[0].end(-signal.SIGABRT)

    def stop(self, status: int) -> None:
        """Children end within a moment, the postmaster after the last."""
        self.is_stopping = True
        for child in tuple(self.children):
            took = self._random.uniform(0.005, 0.06)
            self._fibers.after(took, self._life, lambda child=child: child.send(signal.SIGQUIT))
        self._fibers.schedule.after(0.07, lambda: self._exit(status))

    def _exit(self, status: int) -> None:
        if not self.postmaster.is_alive:
            return
        if self.children:
            self._fibers.schedule.after(0.02, lambda: self._exit(status))
            return
        if self.postmaster.is_stopped:
            self._fibers.schedule.after(0.05, lambda: self._exit(status))
            return
        self.postmaster.end(status)

    def _child_told(self, child: Process, number: int) -> None:
        if number == signal.SIGQUIT:
            child.end(2)

    def _child_ended(self, child: Process, status: int) -> None:
        self.children.remove(child)
        if status < 0 and self.postmaster.is_alive:
            # `restart_after_crash` is off: the postmaster ends the others, and itself.
            self._fibers.schedule.after(0.0, lambda: self.postmaster.send(signal.SIGQUIT))
        self._perhaps_gone()

    def _postmaster_ended(self, _postmaster: Process, _status: int) -> None:
        """Its children notice: idle ones at once, busy ones when they have done what they do."""
        for child in tuple(self.children):
            took = self._random.choice((0.01, self._random.uniform(0.0, 2.4)))
            self._fibers.after(took, self._life, lambda child=child: child.end(1))
        self._fibers.after(0.02, self._life, self._end_streams)
        self._perhaps_gone()

    def _end_streams(self) -> None:
        if not self.postmaster.is_alive:
            self._orphaned()

    def _perhaps_gone(self) -> None:
        if not self.postmaster.is_alive and not self.children:
            self._fibers.kill(self._life)
