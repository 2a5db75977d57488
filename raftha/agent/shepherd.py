"""Process 1 of a container, where no other init is: it runs the agent as its child.

It reaps whatever loses its parent there, and passes signals on. With its end the kernel kills all
others, the guardian and PostgreSQL too: so it does not end before the agent has stopped them in
order, and after an agent that crashed or was killed it starts the next one, which finds both where
they are, as after any restart.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Final

AGAIN_S: Final = 0.2
"""Between an agent that was lost and the next one; as RestartSec in the unit for systemd."""

FINAL: Final = frozenset({0, 2})
"""The exit codes after which another start would not help: a stop in order, and what the user has
to correct (`process.refused`)."""

STOPS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
HEARD: Final = STOPS | {
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCHLD,
}


def shepherded(work: Callable[[], int]) -> int:
    """Do this work, which ends with an exit code: in a child, if this process is the first one.
    Must be called before there are threads."""
    if os.getpid() != 1:
        return work()
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    while True:
        agent = os.fork()
        if agent == 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
            return work()
        code, is_stopping = _tend(agent)
        is_final = is_stopping or code in FINAL
        if is_final or signal.sigtimedwait(STOPS, AGAIN_S) is not None:
            return code if code >= 0 else 128 - code


def _tend(agent: int) -> tuple[int, bool]:
    """Until the agent has ended: its exit code, below 0 for a signal; whether it was to stop."""
    is_stopping = False
    while True:
        number = signal.sigwait(HEARD)
        if number == signal.SIGCHLD:
            code = _reap(agent)
            if code is not None:
                return code, is_stopping
        else:
            is_stopping |= number in STOPS
            os.kill(agent, number)


def _reap(agent: int) -> int | None:
    """Clear away whoever has ended; the exit code of the agent if it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == agent:
            found = os.waitstatus_to_exitcode(status)
