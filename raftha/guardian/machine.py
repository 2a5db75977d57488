"""The host as the kill switch uses it: processes, and the few files it reads and writes.

All of it stands behind one object, so that the switch can be driven on a host that is made up.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from raftha.guardian import fence, kernel, launch, ledger, lockfile, procs
from raftha.guardian.protocol import EpochPair
from raftha.guardian.typed import Final

RESERVED: Final = 5
"""File handles that a fence can count on: one to read /proc and to write what it burned, and what
it takes to run the program that tells the others."""


class Machine:
    """This host. It keeps no state of its own."""

    @property
    def pid(self) -> int:
        """The guardian's own number: the root of everything it starts."""
        return os.getpid()

    def resolved(self, path: str) -> str:
        """The path without symbolic links."""
        return os.path.realpath(path)

    def pause(self, seconds: float) -> None:
        """Sleep."""
        kernel.pause(seconds)

    def reserve(self) -> tuple[int, ...]:
        """Take the file handles that a fence needs. Raises OSError if there are not enough."""
        taken: list[int] = []
        try:
            for _ in range(RESERVED):
                taken.append(os.open("/proc", os.O_PATH | os.O_CLOEXEC))
        except OSError:
            self.free(tuple(taken))
            raise
        return tuple(taken)

    def free(self, handles: tuple[int, ...]) -> None:
        """Give them back, for the fence to use."""
        for handle in handles:
            os.close(handle)

    # -- processes ---------------------------------------------------------------------------

    def launch(self, order: launch.Order) -> int:
        """Start a program that gets SIGQUIT when this process ends. Raises LaunchFailed, or
        OSError."""
        return launch.launch(order)

    def process(self, pid: int) -> procs.Process | None:
        """The process with this number, if there is one."""
        return procs.read_process(pid)

    def living(self, instance: procs.Instance) -> list[procs.Process]:
        """Every live process of the instance."""
        return procs.living(instance)

    def attachments(self, creator: int | None, segment: int | None) -> int:
        """How many processes are attached to the instance's shared memory."""
        return procs.shared_memory_attachments(creator=creator, segment=segment)

    def send(self, pid: int, number: int) -> None:
        """Send a signal to a child that was not reaped yet. Raises ProcessLookupError."""
        os.kill(pid, number)

    def kill_exactly(self, process: procs.Process) -> None:
        """SIGKILL, unless the number meanwhile belongs to another process or to none."""
        fence.kill_exactly(process)

    def reap(self) -> tuple[int, int] | None:
        """A child that has ended: its number, and its exit code or minus the signal; None if there
        is none."""
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        return None if pid == 0 else (pid, os.waitstatus_to_exitcode(status))

    # -- files: none is touched while a primary is guarded, but by `create` ------------------

    def create(self, path: str, may_go_on: Callable[[], bool]) -> None:
        """Make an empty file, by a child that may hang. Raises LaunchFailed, OSError."""
        launch.create_file(path, may_go_on)

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def remove(self, path: str) -> None:
        """Raises OSError."""
        os.unlink(path)

    def segment(self, pgdata: str) -> int | None:
        """The shared memory that postmaster.pid names."""
        return lockfile.segment(pgdata)

    def remove_lock(self, pgdata: str, dead: set[int]) -> None:
        """Remove postmaster.pid if its server is among the dead."""
        lockfile.remove(pgdata, dead)

    def load_burned(self, path: str) -> tuple[EpochPair, ...]:
        """The epochs that were fenced. Raises LedgerDamaged."""
        return ledger.load(path)

    def burn(self, path: str, burned: tuple[EpochPair, ...]) -> None:
        """Write them down, durably. Raises OSError."""
        ledger.save(path, burned)


HOST: Final = Machine()
