"""The calls into Linux that Python has no function for.

`DeadMan` is the answer to a guardian that is stopped, and so can fence nobody: a timer in the
kernel kills even a stopped process, and the postmaster receives its parent-death signal from that.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable

from raftha.guardian.protocol import Reading
from raftha.guardian.typed import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
TIMER_ABSTIME: Final = 1

_libc = ctypes.CDLL(None, use_errno=True)


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class _SignalEvent(ctypes.Structure):
    """`struct sigevent`: 64 bytes on every Linux; the union at its end is not used here."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("padding", ctypes.c_char * 48),
    )


def read_clocks(gettime: Callable[[int], float] = time.clock_gettime) -> Reading:
    """The present instant on all clocks, read in the order of `raftha.clock`."""
    boot = gettime(time.CLOCK_BOOTTIME)
    slept = boot - gettime(time.CLOCK_MONOTONIC)
    return Reading(boot, gettime(time.CLOCK_MONOTONIC_RAW), slept)


def pause(seconds: float) -> None:
    """Sleep, for a loop that has no sockets to wait for any more."""
    time.sleep(seconds)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies. Raises OSError."""
    _check(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "PR_SET_CHILD_SUBREAPER")


def die_with_parent(number: int) -> None:
    """Receive this signal when the thread that forked us ends. Raises OSError."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0), "PR_SET_PDEATHSIG")


class DeadMan:
    """A timer on CLOCK_BOOTTIME that ends this process with SIGKILL unless it is set again."""

    def __init__(self) -> None:
        self._timer: ctypes.c_void_p | None = None
        self._set_to: float | None = None

    def create(self) -> None:
        """Ask the kernel for the timer. Raises OSError. A fork does not inherit it."""
        event = _SignalEvent(signal=signal.SIGKILL, notify=0)
        timer = ctypes.c_void_p()
        status = _libc.timer_create(time.CLOCK_BOOTTIME, ctypes.byref(event), ctypes.byref(timer))
        _check(status, "timer_create")
        self._timer = timer

    def set(self, boot: float | None) -> None:
        """Kill this process at an instant of CLOCK_BOOTTIME; None disarms. Raises OSError."""
        if self._timer is None or boot == self._set_to:
            return
        instant = boot or 0.0
        seconds = int(instant)
        value = _Timespec(seconds, int((instant - seconds) * 1e9))
        spec = _TimerSpec(_Timespec(0, 0), value)
        status = _libc.timer_settime(self._timer, TIMER_ABSTIME, ctypes.byref(spec), None)
        _check(status, "timer_settime")
        self._set_to = boot


def _check(status: int, call: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
