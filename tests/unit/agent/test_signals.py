"""What a signal asks for happens whatever the main thread is in the midst of."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from raftha.agent.notify import ServiceManager
from raftha.agent.process import on_signals
from raftha.clock import SystemClock

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = [(number, signal.getsignal(number)) for number in SIGNALS]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_waits_for_no_lock_of_the_thread_that_it_interrupts(
    number: signal.Signals,
) -> None:
    """An event that the main thread begins to wait for holds its lock for a moment: a handler that
    sets it just then would wait for ever."""
    lock = threading.Lock()
    done = threading.Event()

    def act() -> None:
        if lock.acquire(timeout=5.0):
            done.set()

    on_signals(act, act, ServiceManager(None, SystemClock()))
    with lock:
        signal.raise_signal(number)
    assert done.wait(5.0)
