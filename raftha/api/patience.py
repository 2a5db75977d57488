"""Whom the workers wait for, and who has to go when somebody else wants their place.

A client that sends its request byte by byte, or does not take its answer, would otherwise hold a
worker for as long as it likes; as many of them as there are workers would keep health checks out.
While there are idle workers nobody is disturbed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Lock, Thread, get_ident
from typing import Final, NamedTuple

from raftha.clock import Clock
from raftha.instants import Instant, Seconds, longest

PATIENCE_S: Final = Seconds(0.05)
"""How long a worker waits for its client while others wait for a worker. A request and its answer
fit into single packets, so an honest client on a network takes less."""

STEP_S: Final = 0.02


def hang_up(client: socket.socket) -> None:
    """Break a connection off; whoever reads from it or writes to it notices at once, and closes
    it."""
    # Not the method of a TLS socket, which is not made to be called beside a read.
    with suppress(OSError):
        socket.socket.shutdown(client, socket.SHUT_RDWR)


class Crowd(NamedTuple):
    """Requests that no worker has taken yet, and workers that have none: for a moment there can be
    both."""

    queued: int
    idle: int


class Patience:
    """Each worker says what it waits for; a thread looks only while requests are queued."""

    def __init__(self, clock: Clock, crowd: Callable[[], Crowd]) -> None:
        self._clock = clock
        self._look = crowd
        self._lock = Lock()
        self._waits: dict[int, tuple[Instant, socket.socket]] = {}
        self._serves: dict[int, socket.socket] = {}
        self._crowded = Event()
        self._ended = False

    def begin(self) -> None:
        """Start to look after crowds."""
        Thread(target=self._watch, name="api-patience", daemon=True).start()

    def end(self) -> None:
        """Look no more."""
        self._ended = True
        self._crowded.set()

    def crowd(self) -> None:
        """A request was queued, and there may be no worker for it."""
        self._crowded.set()

    def serve(self, client: socket.socket) -> None:
        """The worker that calls this begins to read a request of this client."""
        with self._lock:
            self._serves[get_ident()] = client
        self.wait()

    def wait(self) -> None:
        """The worker that calls this waits for its client: reads from it, or writes to it."""
        with self._lock:
            self._waits[get_ident()] = (self._clock.now(), self._serves[get_ident()])

    def work(self) -> None:
        """The worker that calls this does not wait for its client: it is busy with the answer."""
        with self._lock:
            self._waits.pop(get_ident(), None)

    def leave(self) -> None:
        """The worker that calls this is done with its client for now."""
        with self._lock:
            self._waits.pop(get_ident(), None)
            self._serves.pop(get_ident(), None)

    def dismiss(self) -> int:
        """Break off with everybody who was waited for too long; how many those are."""
        now = self._clock.now()
        with self._lock:
            slow = [c for since, c in self._waits.values() if longest(since, now) > PATIENCE_S]
            for client in slow:
                hang_up(client)
        return len(slow)

    def _watch(self) -> None:
        pause = Event()
        while not self._ended:
            self._crowded.wait()
            self._crowded.clear()
            while (crowd := self._look()).queued and not self._ended:
                if not crowd.idle:
                    self.dismiss()
                pause.wait(STEP_S)
