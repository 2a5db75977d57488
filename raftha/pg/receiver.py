"""Cuts the stream of a standby for good (R17)."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path
from typing import Final

from raftha.clock import Clock
from raftha.errors import PostgresError, PostgresUnavailable
from raftha.instants import Instant, remaining
from raftha.pg import queries
from raftha.pg.session import Session

_STATEMENT: Final = 1.0


def cut(session: Session, data_dir: Path, clock: Clock, timeout: float) -> bool:
    """Stop the WAL receiver and see that it is gone; whether one had been there.

    An empty `primary_conninfo` must have been loaded before: a reload alone does not stop a
    receiver while replay is held up. Raises PostgresError if an upstream is still configured,
    PostgresUnavailable if a receiver is still there at the end of `timeout` seconds: then the
    instance must be stopped, or must not race.
    """
    if session.query(queries.UPSTREAM, (), min(timeout, _STATEMENT))[0][0] != "":
        raise PostgresError("an upstream is still configured: the receiver would come back")
    deadline = clock.now().plus(timeout)
    found = False
    while (pid := _receiver_pid(session, timeout)) is not None:
        found = True
        left = remaining(deadline, clock.now())
        if left <= 0 or not _ended(pid, data_dir, deadline, clock):
            raise PostgresUnavailable(
                f"the WAL receiver (pid {pid}) did not end within {timeout:g} s"
            )
    return found


def _receiver_pid(session: Session, timeout: float) -> int | None:
    rows = session.query(queries.RECEIVER_PID, (), max(timeout, _STATEMENT))
    return int(rows[0][0]) if rows else None


def _ended(pid: int, data_dir: Path, deadline: Instant, clock: Clock) -> bool:
    """End the process, through a handle that cannot come to mean another one."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if not os.path.samefile(f"/proc/{pid}/cwd", data_dir):
            return True
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        poller = select.poll()
        poller.register(handle, select.POLLIN)  # readable once the process has ended
        return bool(poller.poll(max(0, int(remaining(deadline, clock.now()) * 1000))))
    except (FileNotFoundError, ProcessLookupError):
        return True
    finally:
        os.close(handle)
