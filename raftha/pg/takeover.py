"""Ends a server that somebody else started, so that it can be started again under a guardian."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from raftha.errors import PostgresError
from raftha.model.settings import PostgresConfig
from raftha.pg.configuration import birth
from raftha.pg.directory import running_pid, stranger
from raftha.pg.layout import Layout

_LOOK_S: Final = 0.1


def to_take_over(config: PostgresConfig, layout: Layout) -> int | None:
    """The postmaster that raftha did not start, on a directory which was never part of a cluster of
    raftha's, where the node's file says that it is to be taken over."""
    if not config.take_over or birth(layout.data_dir):
        return None
    return stranger(layout)


def end_stranger(
    data_dir: Path, pid: int, is_cancelled: Callable[[], bool], timeout: float
) -> None:
    """Fast shutdown of the postmaster, as `pg_ctl stop -m fast` asks for it: sessions are ended,
    and the standbys that stream get all there is. Raises PostgresError if it runs on after
    `timeout` seconds; it is never killed."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if running_pid(data_dir) != pid:
            return  # its number is somebody else's by now
        signal.pidfd_send_signal(process, signal.SIGINT)
        _wait(process, pid, is_cancelled, timeout)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise PostgresError(f"PostgreSQL (pid {pid}) is another user's: stop it there") from error
    finally:
        os.close(process)


def _wait(process: int, pid: int, is_cancelled: Callable[[], bool], timeout: float) -> None:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    for _ in range(int(timeout / _LOOK_S)):
        if poll.poll(_LOOK_S * 1000):
            return
        if is_cancelled():
            break
    raise PostgresError(f"PostgreSQL (pid {pid}) has not stopped within {timeout:.0f} s")
