"""How long a fence takes on this machine now: `python -I -S calibrate.py [COUNT]`.

Ends so many sleeping children of its own, 200 unless told otherwise, exactly as a guardian ends a
server, and prints the seconds that it took until none was left. It touches nobody else's process.
"""

from __future__ import annotations

import os
import signal
import sys

if __name__ == "__main__":  # by path in an isolated interpreter, which has no import path to us
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from raftha.guardian import kernel, procs
from raftha.guardian.fence import Sweep
from raftha.guardian.machine import HOST
from raftha.guardian.typed import Final, NoReturn

CHILDREN: Final = 200
"""As many as the sessions of a busy server."""


def main(arguments: list[str]) -> int:
    """Print the seconds; 1 if so many processes cannot be had."""
    count = int(arguments[0]) if arguments else CHILDREN
    try:
        seconds = measure(count)
    except OSError as problem:
        sys.stderr.write(f"{count} processes cannot be started here: {problem}\n")
        return 1
    sys.stdout.write(f"{seconds:.4f}\n")
    return 0


def measure(count: int) -> float:
    """Fork so many children and end them; in seconds, the pause after SIGQUIT included. Raises
    OSError if they cannot be had; those that could are ended too."""
    kernel.adopt_orphans()
    parent = os.getpid()
    children: set[int] = set()
    try:
        for _ in range(count):
            pid = os.fork()
            if pid == 0:
                _sleep(parent)
            children.add(pid)
        return _fence(children)
    finally:
        for pid in children:  # not collected yet, so the number is still theirs
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _fence(children: set[int]) -> float:
    """Sweep until nothing of this process's tree is left; whoever is collected leaves the set."""
    instance = procs.Instance(os.getpid(), "", None)
    started = now = kernel.read_clocks()
    sweep = Sweep(
        instance,
        reason="calibration",
        started=started,
        postmaster=None,
        segment=None,
        machine=HOST,
        asked=True,  # a server is, so its fence takes the pause too
    )
    while not sweep.step(now, is_postmaster_gone=False):
        for pid in tuple(children):
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                children.remove(pid)
        kernel.pause(sweep.pause_s(now))
        now = kernel.read_clocks()
    return sweep.seconds(now)


def _sleep(parent: int) -> NoReturn:
    """In a session of its own, as a backend; it goes with whoever forked it."""
    try:
        kernel.die_with_parent(signal.SIGKILL)
        if os.getppid() == parent:
            os.setsid()
            signal.signal(signal.SIGQUIT, signal.SIG_IGN)
            while True:
                signal.pause()
    finally:
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
