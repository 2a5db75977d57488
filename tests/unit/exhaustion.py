"""Taking from this very process what others may run out of."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

NO_MACHINE_HAS: Final = 1 << 47
"""Bytes for the stack of a thread: it cannot be started then."""


@contextmanager
def no_handle() -> Iterator[None]:
    """In here this process can open nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
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
