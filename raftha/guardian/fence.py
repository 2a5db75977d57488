"""Killing an instance to the last process, and proving that none is left.

SIGQUIT asks the postmaster for its immediate stop, which lets it clear up its shared memory. Very
soon after, SIGKILL goes to every process by itself: a backend is its own session and process group,
so no signal to a group reaches it, and it outlives its postmaster by seconds if it is busy.

A sweep is made of short steps, so that the guardian answers questions meanwhile.
"""

from __future__ import annotations

import os
import signal

from raftha.guardian import procs
from raftha.guardian.protocol import Reading
from raftha.guardian.typed import Final, Protocol

GRACE_S: Final = 0.05
"""Time between SIGQUIT and the first SIGKILL. Most of 200 idle backends are gone by then."""

STEP_S: Final = 0.005
"""Pause between two passes over /proc during the first second; ten times that afterwards."""

EMPTY_PASSES: Final = 2
"""Passes that must find nothing. One could miss a child whose parent died during the pass."""


class Host(Protocol):
    """What a sweep does to processes; `machine.py` has it for this host."""

    def send(self, pid: int, number: int) -> None: ...

    def living(self, instance: procs.Instance) -> list[procs.Process]: ...

    def kill_exactly(self, process: procs.Process) -> None: ...

    def attachments(self, creator: int | None, segment: int | None) -> int: ...


class Sweep:
    """One attempt to empty an instance; it ends when nothing of it is left, and not before."""

    def __init__(
        self,
        instance: procs.Instance,
        *,
        reason: str,
        started: Reading,
        postmaster: int | None,
        segment: int | None,
        machine: Host,
        asked: bool = False,
    ) -> None:
        """`asked` says that the processes were told to stop already, and may be about to obey."""
        self._instance = instance
        self._postmaster = postmaster
        self._segment = segment
        self._machine = machine
        self._started = started
        self._empty_passes = 0
        self._has_asked = asked
        self.reason = reason
        self.seen: set[int] = set()
        self.killed: set[int] = set()
        self.has_signalled_all = False
        self.remaining = 0
        self.attachments = 0

    def ask_immediate_stop(self) -> None:
        """Send SIGQUIT to the postmaster. Only while it is an unreaped child of this process."""
        if self._postmaster is None:
            return
        try:
            self._machine.send(self._postmaster, signal.SIGQUIT)
        except ProcessLookupError:
            return
        self._has_asked = True

    def step(self, now: Reading, *, is_postmaster_gone: bool) -> bool:
        """Make one pass. True once the instance is verified to be empty; a pass that could not look
        everywhere, for want of file handles or memory, verifies nothing."""
        try:
            return self._pass(now, is_postmaster_gone=is_postmaster_gone)
        except OSError:
            self._empty_passes = 0
            return False

    def _pass(self, now: Reading, *, is_postmaster_gone: bool) -> bool:
        # Strays of an earlier guardian were asked by nobody, and their lease may be about to end.
        may_obey = self._has_asked and not is_postmaster_gone
        in_grace = may_obey and self.seconds(now) < GRACE_S
        left = self._machine.living(self._instance)
        self.seen.update(process.pid for process in left)
        self.remaining = len(left)
        if left and in_grace:
            return False
        for process in left:
            self._machine.kill_exactly(process)
            self.killed.add(process.pid)
        self.has_signalled_all = True
        self.attachments = self._machine.attachments(self._postmaster, self._segment)
        is_empty = not left and self.attachments == 0
        self._empty_passes = self._empty_passes + 1 if is_empty else 0
        return self._empty_passes >= EMPTY_PASSES

    def seconds(self, now: Reading) -> float:
        """How long it has taken so far, by the clock on which that is longer."""
        return max(now.boot - self._started.boot, now.steady - self._started.steady)

    def pause_s(self, now: Reading) -> float:
        """How long to wait before the next step."""
        return STEP_S if self.seconds(now) < 1.0 else STEP_S * 10


def kill_exactly(process: procs.Process) -> None:
    """SIGKILL, unless the number meanwhile belongs to another process or to none."""
    present = procs.read_process(process.pid)
    if present is None or present.started != process.started:
        return
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
