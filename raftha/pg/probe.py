"""Asks whether the disks under a server still take writes.

Never touches WAL and never waits longer than it is told: a write that hangs in the kernel keeps
its thread, and until that thread is back no other is started.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from raftha import threads
from raftha.errors import PostgresUnavailable

FILE_NAME: Final = "pgsql_tmp_raftha_probe"
"""Base backups and pg_rewind pass over names that begin with pgsql_tmp."""

_BLOCK: Final = b"raftha".ljust(4096, b"\0")


class DiskProbe:
    """Writes and syncs a small file on each file system of an instance."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._attempt: _Attempt | None = None

    def start(self) -> None:
        """Begin to write, unless the last attempt still hangs. Raises PostgresUnavailable if nobody
        can be had to do it."""
        if self._attempt is not None and not self._attempt.done.is_set():
            return
        attempt = _Attempt(self._data_dir)
        try:
            threads.begin(attempt.run, "pg-disk-probe")
        except OSError as error:
            problem = f"the disk under {self._data_dir} cannot be looked at: {error.strerror}"
            raise PostgresUnavailable(problem) from error
        self._attempt = attempt

    def finish(self, timeout: float) -> None:
        """Raises PostgresUnavailable if the disks refused or did not answer within `timeout` s."""
        attempt = self._attempt
        if attempt is None or not attempt.done.wait(max(0.0, timeout)):
            raise PostgresUnavailable(f"the disk under {self._data_dir} does not answer")
        if attempt.error is not None:
            raise PostgresUnavailable(
                f"the disk under {self._data_dir} refuses writes: {attempt.error}"
            )


class _Attempt:
    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.done = threading.Event()
        self.error: OSError | None = None

    def run(self) -> None:
        try:
            write_all(self._data_dir)
        except OSError as error:
            self.error = error
        finally:
            self.done.set()


def write_all(data_dir: Path) -> None:
    """Raises OSError. On the WAL's file system a new block is needed, so that a full disk shows;
    the file of the last probe keeps its block until then, else a full disk would lend that one.
    On another file system the same block is written again: a full PGDATA does not stop commits."""
    wal = data_dir / "pg_wal"
    if data_dir.stat().st_dev != wal.stat().st_dev:
        _write(data_dir / FILE_NAME)
    fresh = wal / f"{FILE_NAME}_new"
    try:
        _write(fresh)
        fresh.rename(wal / FILE_NAME)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise


def _write(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(handle, _BLOCK, 0)
        os.fsync(handle)
    finally:
        os.close(handle)
