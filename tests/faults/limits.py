"""Taking from a running process what it has not opened or started yet, and giving it back."""

from __future__ import annotations

import itertools
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum

import psutil


class Limit(IntEnum):
    """What runs out."""

    HANDLES = resource.RLIMIT_NOFILE
    PROCESSES = resource.RLIMIT_NPROC


@contextmanager
def exhausted(process: psutil.Process, limit: Limit) -> Iterator[None]:
    """In here the process gets no more of it: no file handle beyond those that it has open, or no
    thread and no child beyond those that it has. What it starts meanwhile is held to the same."""
    number = int(limit)
    soft, hard = resource.prlimit(process.pid, number)
    least = _first_free_handle(process.pid) if limit is Limit.HANDLES else 1
    resource.prlimit(process.pid, number, (least, hard))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(process.pid, number, (soft, hard))


def _first_free_handle(pid: int) -> int:
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    return next(number for number in itertools.count() if number not in taken)
