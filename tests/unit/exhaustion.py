"""Taking from this very process what others may run out of."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

NO_MACHINE_HAS: Final = 1 << 47
"""Bytes for the stack of a thread: it cannot be started then."""


@contextmanager
def no_handle() -> Iterator[None]:
    """In here this process can open nothing more than it has open. A limit of nothing at all would
    also make every poll fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(lowest := os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def no_thread() -> Iterator[None]:
    """In here this process can start no thread."""
    usual = threading.stack_size(NO_MACHINE_HAS)
    try:
        yield
    finally:
        threading.stack_size(usual)
