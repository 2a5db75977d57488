"""What a run of the tests has started: waited for, and ended where a test left it behind.

Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

PR_SET_CHILD_SUBREAPER: Final = 36
STOP_LIMIT_S: Final = 20.0


class Children:
    """The descendants of this process, which becomes their subreaper: whatever is detached from its
    parent, however well, becomes a child of this one. It has `grace_s` to end by itself."""

    def __init__(self, grace_s: float = 3.0) -> None:
        _become_subreaper()
        self._grace_s = grace_s
        self._aside: dict[int, int | None] = {}

    def set_aside(self, pid: int) -> None:
        """A child that runs beside others: it and what is below it is none of theirs."""
        self._aside[pid] = None

    def take_back(self, pid: int) -> None:
        """It is one of all again."""
        self._aside.pop(pid, None)

    def wait(self, pid: int) -> int:
        """Reap children, the adopted ones too, until `pid` has ended; its exit code."""
        while self._aside.get(pid) is None:
            ended, status = os.wait()
            self._note(ended, status)
            if ended == pid:
                self._aside.pop(pid, None)
                return os.waitstatus_to_exitcode(status)
        return os.waitstatus_to_exitcode(self._aside.pop(pid) or 0)

    def end_what_is_left(self) -> list[str]:
        """Kill all descendants that do not end by themselves; their command lines."""
        if wait_for(lambda: not self._reap_and_list(), self._grace_s):
            return []
        left = sorted(set(map(command_line, self._reap_and_list())))
        if not wait_for(self._kill_all, STOP_LIMIT_S):
            left.append("and some could not be killed")
        return left

    def _note(self, pid: int, status: int) -> None:
        if pid in self._aside:
            self._aside[pid] = status

    def _kill_all(self) -> bool:
        """One round of SIGKILL; True once there is nobody left."""
        alive = self._reap_and_list()
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return not alive

    def _reap_and_list(self) -> list[int]:
        """Reap the dead, then the pids of all descendants that still run, but those set aside."""
        try:
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                self._note(*ended)
        except ChildProcessError:
            return []
        parents = _parents()
        return [pid for pid in parents if self._descends(pid, parents)]

    def _descends(self, pid: int, parents: dict[int, int]) -> bool:
        while pid in parents and pid not in self._aside:
            pid = parents[pid]
            if pid == os.getpid():
                return True
        return False


def _parents() -> dict[int, int]:
    """The parent of every process that runs."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if state not in "ZX":
            parents[int(entry.name)] = int(parent)
    return parents


def command_line(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return f"process {pid}"
    return b" ".join(words).decode(errors="replace").strip()[:150] or f"process {pid}"


def wait_for(is_true: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not is_true():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True


def _become_subreaper() -> None:
    """Adopt the orphans of everything started from here; see prctl(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
