"""At most one program works on a data directory, also when its agent is killed and another starts.

pg_basebackup, pg_rewind and initdb take paths: one that outlives its agent writes on by name, into
whatever lies there by then. So each inherits a lock from its agent. While the lock is held somebody
of its process group lives, and so the group's number, which the lock's file holds, cannot have been
given to anybody else.
"""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from pathlib import Path
from typing import Final

from raftha.clock import Clock
from raftha.errors import PostgresError
from raftha.instants import remaining

_END_TIMEOUT: Final = 5.0  # seconds that a killed program may take to be gone
_POLL: Final = 0.02


def take(lock: Path, clock: Clock) -> int:
    """Hold the lock, after the program of an earlier agent that held it was killed; its handle, to
    be closed by the caller. Raises PostgresError if that program does not go, OSError."""
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = clock.now().plus(_END_TIMEOUT)
    while not _is_taken(handle):
        holder = _kill_holder(handle)
        if remaining(deadline, clock.now()) <= 0:
            os.close(handle)
            raise PostgresError(
                f"a program that an earlier agent started still works here (process group "
                f"{holder or 'unknown'}, it holds {lock}): end it, or wait until it ends"
            )
        threading.Event().wait(_POLL)
    os.ftruncate(handle, 0)
    return handle


def note(handle: int, group: int) -> None:
    """Write down the process group that inherited the lock."""
    os.pwrite(handle, str(group).encode(), 0)


def _is_taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _kill_holder(handle: int) -> int | None:
    """Kill the group that holds the lock; its number, None if it was not written down yet."""
    text = os.pread(handle, 32, 0)
    if not text.isdigit():
        return None
    try:
        os.killpg(int(text), signal.SIGKILL)
    except ProcessLookupError:
        pass  # it went in this instant: the lock is free at the next look
    return int(text)
