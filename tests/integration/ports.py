"""Free ports of this machine, each held by a file lock so that no other test process takes it.

They lie below the range from which the kernel draws ports for outgoing connections.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import tempfile
from pathlib import Path
from typing import IO, Final

FIRST: Final = 20000
LAST: Final = 29999


class PortLeases:
    """Takes ports and gives all of them back at once."""

    def __init__(self) -> None:
        self._held: list[IO[str]] = []
        self._next = FIRST + os.getpid() * 37 % (LAST - FIRST)

    def take(self) -> int:
        """A port that nobody listens on and no other holder of leases has. Raises OSError."""
        for _ in range(FIRST, LAST):
            self._next = self._next + 1 if self._next < LAST else FIRST
            if self._lock(self._next):
                return self._next
        raise OSError(errno.EADDRINUSE, f"no free port from {FIRST} to {LAST}")

    def close(self) -> None:
        for file in self._held:
            file.close()
        self._held.clear()

    def _lock(self, port: int) -> bool:
        folder = Path(tempfile.gettempdir(), f"raftha-ports-{os.getuid()}")
        folder.mkdir(mode=0o700, exist_ok=True)
        file = (folder / str(port)).open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        if not is_free(port):
            file.close()
            return False
        self._held.append(file)
        return True


def is_free(port: int) -> bool:
    """Nobody listens on the port, on loopback or on every address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
