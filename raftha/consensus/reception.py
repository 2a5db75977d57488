"""Lets strangers in one by one: listens, waits for their first word, and has each greeted.

A connection that has said nothing costs a file descriptor and no thread, so many may wait; when
there is no place left, the one that has waited longest gives up its own. Whoever speaks is greeted
on a thread, so many at once, and by the same rule. Neither silence nor a crowd keeps a voter out,
and links that are up notice nothing at all.
"""

from __future__ import annotations

import errno
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Final

from raftha.clock import Clock
from raftha.errors import ConfigError, Problem
from raftha.instants import Instant, Seconds, longest
from raftha.model.settings import Address

MAX_SILENT: Final = 128
MAX_GREETINGS: Final = 16
_BACKLOG: Final = 128
_LOOK_S: Final = 0.25
_PAUSE_S: Final = 0.05


class Greetings:
    """The connections that are being greeted now. From any thread."""

    def __init__(self, capacity: int = MAX_GREETINGS) -> None:
        self._capacity = capacity
        self._present: dict[socket.socket, None] = {}
        self._lock = threading.Lock()

    def enter(self, connection: socket.socket) -> socket.socket:
        """Take a place, or that of whoever is greeted longest, whose connection is shut: that ends
        its thread. The place is a second handle, for TLS takes the first one over."""
        place = connection.dup()
        with self._lock:
            if len(self._present) >= self._capacity:
                eldest = next(iter(self._present))
                del self._present[eldest]
                shut(eldest)
            self._present[place] = None
        return place

    def leave(self, place: socket.socket) -> None:
        """Give the place back."""
        with self._lock:
            self._present.pop(place, None)
        place.close()


class Reception:
    """`open` binds, `run` receives until `close`; `greet` gets each connection that has spoken, and
    returns at once."""

    def __init__(
        self,
        *,
        bind: Address,
        clock: Clock,
        patience: Seconds,
        greet: Callable[[socket.socket], None],
        report: Callable[[str], None],
    ) -> None:
        self._bind = bind
        self._clock = clock
        self._patience = patience
        self._greet = greet
        self._report = report
        self._closed = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._listener: socket.socket | None = None
        self._silent: dict[socket.socket, Instant] = {}

    def open(self) -> None:
        """Listen. Raises ConfigError if the address cannot be bound."""
        self._listener = _listen(self._bind)
        self._selector.register(self._listener, selectors.EVENT_READ, self._listener)

    def run(self) -> None:
        """Receive guests, on a thread of its own."""
        while not self._closed.is_set():
            # Without guests there is nothing to look for, and `close` wakes this thread.
            for key, _ in self._selector.select(_LOOK_S if self._silent else None):
                if key.data is not None:
                    self._accept(key.data)
                else:
                    self._hear(key.fileobj)  # type: ignore[arg-type]
            self._dismiss_the_patient()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def close(self) -> None:
        """Let nobody in any more; `run` ends soon."""
        self._closed.set()
        if self._listener is not None:
            shut(self._listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            if not self._closed.is_set():
                self._report(f"cannot accept connections: {error}")
                self._closed.wait(_PAUSE_S)
            return
        if len(self._silent) >= MAX_SILENT:
            self._dismiss(next(iter(self._silent)))
        connection.setblocking(False)
        self._silent[connection] = self._clock.now()
        self._selector.register(connection, selectors.EVENT_READ)

    def _hear(self, connection: socket.socket) -> None:
        """It has spoken, or hung up."""
        if connection not in self._silent:
            return  # It made room for another within this look.
        try:
            spoke = bool(connection.recv(1, socket.MSG_PEEK))
        except OSError:
            spoke = False
        if not spoke:
            self._dismiss(connection)
            return
        del self._silent[connection]
        self._selector.unregister(connection)
        self._greet(connection)

    def _dismiss_the_patient(self) -> None:
        """Those who came first stand first."""
        now = self._clock.now()
        while self._silent:
            eldest, since = next(iter(self._silent.items()))
            if longest(since, now) < self._patience:
                return
            self._dismiss(eldest)

    def _dismiss(self, connection: socket.socket) -> None:
        del self._silent[connection]
        self._selector.unregister(connection)
        connection.close()


def shut(connection: socket.socket) -> None:
    """End a connection under the hands of another thread: only shutdown wakes one that waits."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _listen(address: Address) -> socket.socket:
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, target = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _not_bound(address, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(target)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _not_bound(address, error) from error
    listener.setblocking(False)
    return listener


def _not_bound(address: Address, error: OSError) -> ConfigError:
    remedy = "is another agent running here? check raft.bind_addr"
    if error.errno == errno.EADDRNOTAVAIL:
        remedy = (
            f"{address.host} is no address of this machine: correct raft.self_addr, or say where "
            "to listen with raft.bind_addr"
        )
    return ConfigError([Problem("raft.bind_addr", f"cannot listen on {address}: {error}", remedy)])
