"""Runs the operator's own programs beside the agent.

Each has a session, and so a process group, of its own, no standard input and none of the agent's
handles; what it writes goes to a file. It is started by a shell that becomes it: were it executed
from here, a disk that hangs would hold up every thread of the agent until it was found there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from raftha.account import own_name
from raftha.clock import Clock
from raftha.errors import Problem
from raftha.instants import Seconds, remaining
from raftha.model.settings import BootstrapConfig, PostgresConfig
from raftha.pg.run import environment

OUTPUT: Final = "programs.log"
"""Its file, in the directory of sockets and logs."""

LONGEST_BYTES: Final = 1 << 20
"""Of the file, and of the one before it."""

KILL_S: Final = 5.0
"""A process that SIGKILL has not ended by then hangs in the kernel, and is left to it."""

TICK_S: Final = 0.1

_SHELL: Final = ("/bin/sh", "-c", 'exec "$@"', "raftha")


def begin(words: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
    """Start it. One that is not there ends with 127, and the shell writes why. Raises OSError."""
    _bound(output)
    with output.open("ab") as log:
        return subprocess.Popen(
            [*_SHELL, *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(os.environ),
            start_new_session=True,
        )


def note(output: Path, line: str) -> None:
    """Keep a line that a program said which a job waits for. Raises OSError."""
    _bound(output)
    with output.open("a", encoding="utf-8", errors="replace") as log:
        log.write(f"{line}\n")


def _bound(output: Path) -> None:
    if output.exists() and output.stat().st_size > LONGEST_BYTES:
        output.replace(output.with_name(f"{output.name}.1"))


def kill(process: subprocess.Popen[bytes]) -> bool:
    """End it with its whole process group; False if it goes on, for it hangs in the kernel, or runs
    as another user by now (sudo). One that ended by itself is left its children."""
    if process.poll() is not None:
        return True
    try:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(KILL_S)
    except (PermissionError, subprocess.TimeoutExpired):
        return False
    return True


def run(
    words: Sequence[str],
    output: Path,
    clock: Clock,
    limit: Seconds,
    cancelled: Callable[[], bool] = lambda: False,
) -> int | None:
    """Its exit code; None if it had not ended after so long, or was cancelled, and is no more.
    Raises OSError."""
    deadline = clock.now().plus(limit)
    process = begin(words, output)
    while remaining(deadline, clock.now()) > 0 and not cancelled():
        try:
            return process.wait(TICK_S)
        except subprocess.TimeoutExpired:
            continue
    kill(process)
    return None


def absent(postgres: PostgresConfig, bootstrap: BootstrapConfig) -> Iterator[Problem]:
    """The programs that cannot be run on this machine by this user."""
    hooks, method = postgres.hooks, bootstrap.method
    named = {
        **{f"postgresql.callbacks.{name}": words for name, words in hooks.callbacks.items()},
        "postgresql.before_stop": hooks.before_stop,
        "postgresql.pre_promote": hooks.pre_promote,
        **{f"postgresql.{m.name}.command": m.command for m in postgres.copy_methods},
        **({f"bootstrap.{method.name}.command": method.command} if method else {}),
        "bootstrap.post_bootstrap": bootstrap.post_bootstrap,
    }
    for where, words in named.items():
        if words and shutil.which(words[0]) is None:
            what = f"{words[0]} is no program that {own_name()} can run"
            yield Problem(where, what, "correct its path and its permissions")
