"""Threads that are started while a process runs, when there may be none to be had."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable


def begin(work: Callable[[], object], name: str) -> None:
    """Run this beside the caller, on a thread that ends with the process. Raises OSError where this
    user, or this control group, may have no more threads."""
    try:
        threading.Thread(target=work, name=name, daemon=True).start()
    except RuntimeError as error:
        what = "no thread can be had: raise the limit of processes (ulimit -u, TasksMax)"
        raise OSError(errno.EAGAIN, what) from error
