"""The operating system of a made-up machine, as far as a guardian sees it: processes and signals.

`Machine` has the methods of the guardian's own, so the shipped kill switch runs on it. A stopped
process takes no signal but SIGKILL; a guardian's death is told to the programs it started.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from raftha.guardian import launch, procs
from raftha.guardian.protocol import EpochPair

if TYPE_CHECKING:
    from tests.sim.cluster.directory import Directory

GUARDIAN: Final = 1
"""The number that the guardian has on every machine."""


class Process(Struct, eq=False):
    """`took` is called with each signal that reaches it, and `ended` once it is gone."""

    pid: int
    started: int
    comm: str
    took: Callable[[Process, int], None]
    ended: Callable[[Process, int], None]
    is_child: bool = False
    is_alive: bool = True
    is_stopped: bool = False
    pending: list[int] = field(default_factory=list)

    def send(self, number: int) -> None:
        """Deliver a signal, or keep it until the process runs again."""
        if not self.is_alive:
            return
        if number == signal.SIGKILL:
            self.end(-signal.SIGKILL)
        elif self.is_stopped:
            self.pending.append(number)
        else:
            self.took(self, number)

    def stop(self) -> None:
        self.is_stopped = True

    def go_on(self) -> None:
        """SIGCONT."""
        self.is_stopped = False
        pending, self.pending = self.pending, []
        for number in pending:
            self.send(number)

    def end(self, status: int) -> None:
        if self.is_alive:
            self.is_alive = False
            self.ended(self, status)


class Machine:
    """The processes of one machine, and the files that a guardian asks for. `programs` starts what
    it is told to run; `child_ended` wakes the guardian."""

    def __init__(
        self,
        directory: Directory,
        start_server: Callable[[], Process],
        tell: Callable[[tuple[str, ...]], None],
        child_ended: Callable[[], None],
    ) -> None:
        self._directory = directory
        self._start_server = start_server
        self._tell = tell
        self._child_ended = child_ended
        self._numbers = count(100)
        self.processes: dict[int, Process] = {}
        self.zombies: list[tuple[int, int]] = []
        self.burned: tuple[EpochPair, ...] = ()

    # For the model of PostgreSQL.

    def spawn(
        self, took: Callable[[Process, int], None], ended: Callable[[Process, int], None]
    ) -> Process:
        """A new process."""
        pid = next(self._numbers)
        process = Process(pid=pid, started=pid * 10, comm="postgres", took=took, ended=ended)

        def gone(process: Process, status: int) -> None:
            self.processes.pop(pid, None)
            if process.is_child:
                self.zombies.append((pid, status))
                self._child_ended()
            ended(process, status)

        process.ended = gone
        self.processes[pid] = process
        return process

    def orphan(self) -> None:
        """The guardian is dead: the kernel asks its children to stop at once."""
        self.zombies.clear()
        for process in list(self.processes.values()):
            if process.is_child:
                process.is_child = False
                process.send(signal.SIGQUIT)

    def note_end_by_full_disk(self) -> None:
        """The guardian could not write down what it burned."""
        self._directory.effects["guardians ended by a full disk"] += 1

    def end_all(self) -> None:
        """The power is gone."""
        self.zombies.clear()
        for process in list(self.processes.values()):
            process.is_child = False
            process.end(-signal.SIGKILL)

    # For the kill switch.

    @property
    def pid(self) -> int:
        return GUARDIAN

    def resolved(self, path: str) -> str:
        return path

    def reserve(self) -> tuple[int, ...]:
        return ()

    def free(self, handles: tuple[int, ...]) -> None:
        """The model has handles without end."""

    def launch(self, order: launch.Order) -> int:
        if order.argv[0] == "/receipt":
            self._tell(order.argv[1:])
            return 0
        if self._directory.is_hung:
            raise launch.LaunchFailed("the disk is hung")
        process = self._start_server()
        process.is_child = True
        return process.pid

    def process(self, pid: int) -> procs.Process | None:
        found = self.processes.get(pid)
        return None if found is None else _seen(found)

    def living(self, instance: procs.Instance) -> list[procs.Process]:  # noqa: ARG002
        return [_seen(process) for process in self.processes.values()]

    def attachments(self, creator: int | None, segment: int | None) -> int:  # noqa: ARG002
        return len(self.processes)

    def send(self, pid: int, number: int) -> None:
        if pid not in self.processes:
            raise ProcessLookupError
        self.processes[pid].send(number)

    def kill_exactly(self, process: procs.Process) -> None:
        found = self.processes.get(process.pid)
        if found is not None:
            found.send(signal.SIGKILL)

    def reap(self) -> tuple[int, int] | None:
        return self.zombies.pop(0) if self.zombies else None

    def create(self, path: str, may_go_on: Callable[[], bool]) -> None:  # noqa: ARG002
        if self._directory.is_hung or self._directory.is_full:
            raise launch.LaunchFailed(f"{path} was not created")
        self._directory.is_to_promote = True

    def exists(self, path: str) -> bool:
        assert path.endswith("standby.signal")
        return self._directory.standby_signal

    def remove(self, path: str) -> None:
        assert path.endswith("promote")
        self._directory.is_to_promote = False

    def segment(self, pgdata: str) -> int | None:  # noqa: ARG002
        return None

    def remove_lock(self, pgdata: str, dead: set[int]) -> None:
        """The model keeps no lock file."""

    def load_burned(self, path: str) -> tuple[EpochPair, ...]:  # noqa: ARG002
        return self.burned

    def burn(self, path: str, burned: tuple[EpochPair, ...]) -> None:  # noqa: ARG002
        if self._directory.holds_ledger:
            self._directory.require_space()
        self.burned = burned

    def pause(self, seconds: float) -> None:
        raise AssertionError(f"a guardian waits for {seconds} s outside of its loop")


def _seen(process: Process) -> procs.Process:
    return procs.Process(process.pid, GUARDIAN, "S", process.started, process.comm)
