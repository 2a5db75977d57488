"""One process at a time on a Raft directory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from raftha.errors import StorageFailed

LOCK_NAME: Final = "raft.lock"


def take(directory: Path) -> int:
    """Hold the directory until the returned handle is closed, or this process ends. Raises
    StorageFailed if another process holds it, OSError."""
    handle = os.open(directory / LOCK_NAME, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise StorageFailed(
            f"{directory} is in use by another raftha process: stop that one first, "
            "or give this node a raft.data_dir of its own"
        ) from None
    return handle
