"""The processes of one node, found by what they are: guardian and servers of one data directory.

A process is (pid, start time), which psutil checks before each signal. Nothing is found by a name
alone, so that two test processes on one machine never touch each other's.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from enum import StrEnum
from pathlib import Path

import psutil


class Part(StrEnum):
    """What a process is to its node."""

    AGENT = "agent"
    GUARDIAN = "guardian"
    POSTGRES = "postgres"


def of_guardian(pgdata: Path) -> list[psutil.Process]:
    """The guardians of a data directory (more than one would be an error of the product)."""
    return [
        process
        for process, words in _command_lines()
        if any(word.endswith("raftha/guardian/__main__.py") for word in words)
        and "--pgdata" in words[:-1]
        and words[words.index("--pgdata") + 1] == str(pgdata)
    ]


def of_postgres(pgdata: Path) -> list[psutil.Process]:
    """The postmaster and every process under it, also those that outlived it; and the programs
    that fill the directory (initdb, pg_basebackup, pg_rewind)."""
    found = []
    for process, words in _command_lines():
        try:
            program = Path(process.exe()).name
            folder = process.cwd()
        except psutil.Error:
            continue
        is_server = program == "postgres" and Path(folder) == pgdata
        fills_it = program.startswith(("initdb", "pg_")) and str(pgdata) in " ".join(words)
        if is_server or fills_it:
            found.append(process)
    return found


def called(found: Sequence[psutil.Process], title: str) -> list[psutil.Process]:
    """Those whose title holds these words; one that has ended meanwhile has none."""
    named = []
    for process in found:
        with suppress(psutil.Error):
            if title in " ".join(process.cmdline()):
                named.append(process)
    return named


def postmaster(pgdata: Path) -> psutil.Process | None:
    """The server's first process; None when none runs. Its lock file is not read: the directory may
    be on a disk that this process does not see, or have another name by now."""
    return first_server(of_postgres(pgdata))


def first_server(among: Sequence[psutil.Process]) -> psutil.Process | None:
    """The one that is no child of another; whoever ends meanwhile is none."""
    found = [process for process in among if _is_server(process)]
    pids = {process.pid for process in found}
    # A child has the arguments of its parent until it says what it is.
    parents = ((process, _parent(process)) for process in found)
    return next((p for p, parent in parents if parent is not None and parent not in pids), None)


def _is_server(process: psutil.Process) -> bool:
    """Not a child, whose title says what it does, nor a program that fills a directory, nor one
    that has just ended."""
    with suppress(psutil.Error):
        words = process.cmdline()
        return "-D" in words and Path(words[0]).name == "postgres"
    return False


def _parent(process: psutil.Process) -> int | None:
    with suppress(psutil.Error):
        return process.ppid()
    return None


def send(processes: Sequence[psutil.Process], number: signal.Signals) -> int:
    """Signal all of them; how many were still there."""
    reached = 0
    for process in processes:
        try:
            process.send_signal(number)
            reached += 1
        except psutil.NoSuchProcess:
            continue
    return reached


def send_at_once(found: Sequence[psutil.Process], number: signal.Signals) -> list[psutil.Process]:
    """Signal all of them, with nothing done between two; those that were still there. Whoever looks
    after them has no time to clear away the others meanwhile."""
    reached = []
    with ExitStack() as handles:
        named = []
        for process in found:
            with suppress(ProcessLookupError):
                named.append((process, os.pidfd_open(process.pid)))
                handles.callback(os.close, named[-1][1])
        present = [(process, handle) for process, handle in named if process.is_running()]
        for process, handle in present:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
                reached.append(process)
    return reached


def is_stopped(process: psutil.Process) -> bool:
    """SIGSTOP has taken effect."""
    return bool(process.status() == psutil.STATUS_STOPPED)


def is_still(process: psutil.Process) -> bool:
    """SIGSTOP has taken effect, or came too late: sessions come and go."""
    return not runs(process) or is_stopped(process)


def wait_until_gone(found: Sequence[psutil.Process], timeout_s: float) -> None:
    """Wait until none of them runs; a zombie does not. Raises AssertionError at the limit."""
    deadline = time.monotonic() + timeout_s
    while left := [process for process in found if runs(process)]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.02)


def kill_all(find: Callable[[], Sequence[psutil.Process]], timeout_s: float) -> None:
    """SIGKILL whatever `find` finds, until it finds nothing. Raises AssertionError at the limit."""
    deadline = time.monotonic() + timeout_s
    while left := find():
        send(left, signal.SIGKILL)
        assert time.monotonic() < deadline, f"could not be killed: {left}"
        time.sleep(0.02)


def runs(process: psutil.Process) -> bool:
    """It is there, and more than a zombie that waits to be reaped."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _command_lines() -> Iterator[tuple[psutil.Process, list[str]]]:
    """Every process of this user that is not a zombie, with its arguments."""
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if words and process.uids().real == os.getuid():
                yield process, words
        except psutil.Error:
            continue
